/* SPDX-License-Identifier: MIT */
/* The launcher's end of the control socket. */
#include "helper/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "helper/control.h"
#include "helper/log.h"

enum { CLIENTS = 256, WORDS = 4096 };

struct control_client {
	struct watch watch;
	bool used, attached, wait;
	bool kept, json; /* silently, until there is an answer */
	enum verb verb;
	enum log_level most;
};
static struct control_client clients[CLIENTS];
static struct watch server = {.fd = -1};
static control_handler *handle;
static void *handle_context;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

/* The client may be slow or gone: what it does not take is lost to it, and never waited for. */
static void answer(
        struct control_client *client, enum control_answer kind, const char *text, size_t length)
{
	char byte = (char)kind;
	struct iovec parts[2] = {{&byte, 1}, {(void *)(uintptr_t)text, length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	(void)sendmsg(client->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void forget(struct control_client *client)
{
	loop_unwatch(&client->watch);
	fd_close(&client->watch.fd);
	client->used = client->attached = client->kept = false;
}

void control_text(struct control_client *client, const char *text, size_t length)
{
	while (length) {
		size_t part = length < CONTROL_ANSWER_MAX / 2 ? length : CONTROL_ANSWER_MAX / 2;
		answer(client, CONTROL_TEXT, text, part);
		text += part;
		length -= part;
	}
}

void control_reply(struct control_client *client, int exit_status, const char *complaint)
{
	char number[16];
	if (complaint)
		answer(client, CONTROL_LINE, complaint, strlen(complaint));
	int length = snprintf(number, sizeof(number), "%d", exit_status);
	answer(client, CONTROL_EXIT, number, (size_t)length);
	forget(client);
}

static void log_to_clients(void *context, enum log_level level, const char *line)
{
	(void)context;
	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].used && clients[i].attached && level <= clients[i].most)
			answer(&clients[i], CONTROL_LINE, line, strlen(line));
}

void control_attach(struct control_client *client, enum verb verb, bool wait, enum log_level most)
{
	client->most = most;
	client->attached = true;
	client->verb = verb;
	client->wait = wait;
}

void control_finish(enum verb verb, bool wait, int exit_status)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].used && clients[i].attached && clients[i].verb == verb &&
		        clients[i].wait == wait)
			control_reply(&clients[i], exit_status, NULL);
}

void control_keep(struct control_client *client, enum verb verb, bool json)
{
	client->kept = true;
	client->verb = verb;
	client->json = json;
}

static bool is_kept(const struct control_client *client, enum verb verb, bool json)
{
	return client->used && client->kept && client->verb == verb && client->json == json;
}

bool control_has_kept(enum verb verb, bool json)
{
	bool any = false;
	for (size_t i = 0; i < CLIENTS; i++)
		any |= is_kept(&clients[i], verb, json);
	return any;
}

void control_finish_text(enum verb verb, bool json, const char *text)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		if (!is_kept(&clients[i], verb, json))
			continue;
		if (text)
			control_text(&clients[i], text, strlen(text));
		control_reply(&clients[i], text ? EXIT_DONE : EXIT_FAILED,
		        text ? NULL : "moult: out of memory");
	}
}

void control_progress(const char *format, ...)
{
	char line[256];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	for (size_t i = 0; i < CLIENTS && length > 0; i++)
		if (clients[i].used && clients[i].attached)
			answer(&clients[i], CONTROL_PROGRESS, line, strlen(line));
}

/* ---- requests ---- */

/* Splits a datagram of NUL-terminated strings; -1: it is none, or another protocol. */
static int split(char *text, size_t length, char **words)
{
	int count = 0;
	if (!length || text[length - 1] != '\0')
		return -1;
	for (char *at = text; at < text + length; at += strlen(at) + 1) {
		if (count == WORDS - 1)
			return -1;
		words[count++] = at;
	}
	words[count] = NULL;
	return count;
}

static void readable(void *context)
{
	struct control_client *client = context;
	static char text[CONTROL_REQUEST_MAX];
	static char *words[WORDS];
	ssize_t length = recv(client->watch.fd, text, sizeof(text), MSG_DONTWAIT | MSG_TRUNC);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0 || client->attached ||
	        client->kept) { /* gone, or talking while it is to listen */
		forget(client);
		return;
	}
	int count = length > (ssize_t)sizeof(text) ? -1 : split(text, (size_t)length, words);
	if (count < 1) {
		control_reply(client, EXIT_USAGE, "moult: the launcher got a malformed request");
		return;
	}
	if (strcmp(words[0], CONTROL_PROTOCOL) != 0) {
		control_reply(client, EXIT_USAGE,
		        "moult: the launcher speaks control protocol " CONTROL_PROTOCOL
		        ", this command another: they are of different versions");
		return;
	}
	handle(handle_context, client, count - 1, words + 1);
}

static void acceptable(void *context)
{
	(void)context;
	int fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (fd < 0)
		return;
	struct control_client *client = NULL;
	for (size_t i = 0; i < CLIENTS && !client; i++)
		if (!clients[i].used)
			client = &clients[i];
	if (!client || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
	        (peer.uid != geteuid() && peer.uid != 0)) {
		close(fd);
		return;
	}
	*client = (struct control_client){
	        .watch = {.fd = fd, .ready = readable, .context = client}, .used = true};
	if (loop_watch(&client->watch) < 0)
		forget(client);
}

/* Does somebody answer at the path? A socket left by a killed launcher refuses. */
static bool is_served(void)
{
	CLEANUP(fd_close)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
}

int control_start(
        const char *name, control_handler *handler, void *context, char *path, size_t size)
{
	char directory[sizeof(address.sun_path)];
	directory[0] = '\0';
	int result = control_directory(directory, sizeof(directory), 1);
	snprintf(path, size, "%s", directory);
	if (result < 0)
		return result;
	int length = snprintf(path, size, "%s/%s.sock", directory, name);
	if (length < 0 || (size_t)length >= size || (size_t)length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, (size_t)length + 1);

	/* Two launchers of one name at once: the lock on the directory lets one look and bind. */
	CLEANUP(fd_close) int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return -errno;
	if (is_served())
		return -EADDRINUSE;
	(void)unlink(path); /* most often there is none */
	server.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0077);
	int bound =
	        server.fd < 0 ? -1 : bind(server.fd, (struct sockaddr *)&address, sizeof(address));
	result = bound < 0 ? -errno : 0;
	umask(mask);
	if (result == 0 && listen(server.fd, 64) < 0)
		result = -errno;
	handle = handler;
	handle_context = context;
	server.ready = acceptable;
	if (result == 0)
		result = loop_watch(&server);
	if (result == 0)
		log_listen(log_to_clients, NULL);
	return result;
}

void control_stop(void)
{
	if (server.fd < 0)
		return;
	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].used)
			forget(&clients[i]);
	log_listen(NULL, NULL);
	loop_unwatch(&server);
	(void)unlink(address.sun_path);
	fd_close(&server.fd);
}
