/* SPDX-License-Identifier: MIT */
/*
 * Is the preloaded library really in front, and does it work on this C library?  Built and run by
 * scripts/check against each of them: every name on the command line must resolve to libmoult.so,
 * and one connection must get through.
 */
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int resolves_to_us(const char *name)
{
	void *function = dlsym(RTLD_DEFAULT, name);
	Dl_info info;
	if (function && dladdr(function, &info) && strstr(info.dli_fname, "libmoult.so"))
		return 1;
	fprintf(stderr, "%s: not ours\n", name);
	return 0;
}

static int serve_one(void)
{
	struct sockaddr_in address = {
	        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	struct epoll_event event = {.events = EPOLLIN};
	char text[8];

	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	int epoll = epoll_create1(0);
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 5) ||
	        getsockname(listener, (struct sockaddr *)&address, &length) ||
	        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) ||
	        connect(client, (struct sockaddr *)&address, length) ||
	        epoll_wait(epoll, &event, 1, 5000) != 1)
		return 0;
	int connection = accept(listener, NULL, NULL);
	return write(client, "moult", 5) == 5 && read(connection, text, sizeof(text)) == 5 &&
	       close(client) == 0 && read(connection, text, sizeof(text)) == 0 &&
	       close(connection) == 0 && close(listener) == 0 && close(epoll) == 0;
}

int main(int argc, char **argv)
{
	int good = 1;
	for (int i = 1; i < argc; i++)
		good &= resolves_to_us(argv[i]);
	if (!serve_one()) {
		perror("serving one connection");
		good = 0;
	}
	return good ? 0 : 1;
}
