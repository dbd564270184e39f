/* SPDX-License-Identifier: MIT */
/*
 * A daemon that makes its system calls itself, as every Go program does.  The program is linked
 * dynamically, so the library is loaded, but sees none of the calls.
 *
 *   raw --tag TAG --port PORT
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static long call(long number, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
	                 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	__asm__ volatile("svc 0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
	                 : "memory");
	return x0;
#else
#error "teach raw.c this processor's system calls"
#endif
}

static void require(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "raw: %s: %s\n", what, strerror((int)-result));
		exit(3);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int one = 1;
	char line[256], answer[256];
	struct sockaddr_in in = {.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)atoi(argv[4])),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int length = snprintf(answer, sizeof(answer), "GEN %s %d\n", argv[2], (int)getpid());

	long fd = call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0);
	require(fd, "socket");
	call(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, (long)&one, sizeof(one));
	require(call(SYS_bind, fd, (long)&in, sizeof(in), 0, 0), "bind");
	require(call(SYS_listen, fd, 128, 0, 0, 0), "listen");
	for (;;) {
		long connection = call(SYS_accept4, fd, 0, 0, 0, 0);
		if (connection < 0)
			continue;
		if (call(SYS_read, connection, (long)line, sizeof(line), 0, 0) > 0)
			call(SYS_write, connection, (long)answer, length, 0, 0);
		call(SYS_close, connection, 0, 0, 0, 0);
	}
}
