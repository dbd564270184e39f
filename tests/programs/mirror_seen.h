/* SPDX-License-Identifier: MIT */
/* Where mirror.c writes what it sees, and the addresses that it uses.  Part of mirror.c. */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

static FILE *out;
static bool with_launcher; /* or for comparison with such a run */

/* Wrong on purpose, and volatile so that no compiler looks through it. */
static void *volatile nowhere;

/* "what = result errno" */
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

/* An address on 127.0.0.1 that port 0 has given us. */
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
