/* SPDX-License-Identifier: MIT */
/* Part of mirror.c.  The record that mirror.c writes, and the addresses that it uses. */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

static FILE *out;
static bool with_launcher; /* or its record is compared with such a run */

/* A wrong address on purpose; volatile, so that no compiler notices. */
static void *volatile nowhere;

/* Records "what = result, errno".  Returns the result. */
static int seen(int result, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int seen(int result, const char *format, ...)
{
	int error = errno;
	va_list arguments;
	va_start(arguments, format);
	vfprintf(out, format, arguments);
	va_end(arguments);
	fprintf(out, " = %d, errno %d\n", result, result < 0 ? error : 0);
	errno = 0;
	return result;
}

/* The address of a socket that was bound to port 0 of 127.0.0.1. */
static struct sockaddr_in address_of(int fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t length = sizeof(in);
	seen(getsockname(fd, (struct sockaddr *)&in, &length), "getsockname");
	fprintf(out, "  length %u family %d port %d\n", length, in.sin_family, in.sin_port != 0);
	return in;
}

static int connect_to(struct sockaddr_in in)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	seen(connect(fd, (struct sockaddr *)&in, sizeof(in)), "connect");
	return fd;
}
