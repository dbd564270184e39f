/* SPDX-License-Identifier: MIT */
/* The launcher's end of the control socket. */
#include "helper/control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "helper/base/log.h"
#include "helper/control/protocol.h"

enum { CLIENTS = 256, WORDS = 4096, RESERVE = 16 };

/* A client sends its request at once. A silent client takes the place of another one. */
static const nanoseconds REQUEST_PATIENCE = 5 * SECOND;
/* How long we wait for another launcher that holds the directory's lock. */
static const nanoseconds LOCK_PATIENCE = 5 * SECOND;

struct control_client {
	struct watch watch;
	nanoseconds since;
	bool used, attached, wait;
	bool kept, json; /* kept: receives nothing until control_finish_text() */
	enum verb verb;
	enum log_level most;
};
static struct control_client clients[CLIENTS];
static struct watch server = {.fd = -1};
static struct timer server_rest, idle_timer;
static struct log_limit accept_complaint;
/* Descriptors kept free for operators' requests, in case listeners use up all others. */
static int reserve[RESERVE];
static size_t reserve_count;
static control_handler *handle;
static void *handle_context;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

/* Never waits: the client may be slow or gone. An answer that does not fit its buffer is lost. */
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

/* ---- the reserve ---- */

static void reserve_fill(void)
{
	struct rlimit limit;
	size_t wanted = RESERVE;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 8 < wanted)
		wanted = limit.rlim_cur / 8;
	while (reserve_count < wanted) {
		int fd = open("/", O_PATH | O_CLOEXEC);
		if (fd < 0)
			return; /* reserve_fill() is called again after the next request */
		reserve[reserve_count++] = fd;
	}
}

static void reserve_release(size_t count)
{
	while (count-- && reserve_count)
		close(reserve[--reserve_count]);
}

/* ---- requests ---- */

/* Splits a datagram of NUL-terminated strings; returns their number, -1: malformed. */
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
	if (length <= 0 || client->attached || client->kept) { /* gone, or a second request */
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
	reserve_release(RESERVE);
	handle(handle_context, client, count - 1, words + 1);
	reserve_fill();
}

static bool is_idle(const struct control_client *client)
{
	return client->used && !client->attached;
}

/*
 * Closes clients that have sent no request within REQUEST_PATIENCE, and comes again for the
 * others.  A kept client counts from its connection as well, but has its answer earlier
 * (supervisor.c).
 */
static void end_idle(void *context)
{
	(void)context;
	nanoseconds next = NEVER;
	for (size_t i = 0; i < CLIENTS; i++) {
		if (!is_idle(&clients[i]))
			continue;
		nanoseconds left = clients[i].since + REQUEST_PATIENCE - now();
		if (left <= 0)
			forget(&clients[i]);
		else if (left < next)
			next = left;
	}
	loop_after(&idle_timer, next);
}

/* Closes the oldest client that is not attached and returns its place; NULL: there is none. */
static struct control_client *end_idlest(void)
{
	struct control_client *oldest = NULL;
	for (size_t i = 0; i < CLIENTS; i++)
		if (is_idle(&clients[i]) && (!oldest || clients[i].since < oldest->since))
			oldest = &clients[i];
	if (oldest)
		forget(oldest);
	return oldest;
}

static struct control_client *find_place(void)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (!clients[i].used)
			return &clients[i];
	return end_idlest();
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/*
 * Answers a client whose request has not been read.  The request is read first: closing a socket
 * with unread data resets the connection, and the client would not get the answer.
 */
static void refuse(struct control_client *client, int exit_status, const char *complaint)
{
	char byte;
	(void)recv(client->watch.fd, &byte, sizeof(byte), MSG_DONTWAIT);
	control_reply(client, exit_status, complaint);
}

static void admit_consume(int fd)
{
	if (!may_ask(fd)) {
		close(fd);
		return;
	}
	/*
	 * The whole status of 2,048 listeners fits in the buffer: the launcher never waits for a
	 * client.
	 */
	const int room = 2 * 1024 * 1024;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	struct control_client *client = find_place();
	if (!client) {
		struct control_client nobody = {.watch.fd = fd};
		refuse(&nobody, EXIT_BUSY,
		        "moult: too many commands wait for this launcher's answer");
		return;
	}
	*client = (struct control_client){.watch = {.fd = fd, .ready = readable, .context = client},
	        .since = now(),
	        .used = true};
	int result = loop_watch(&client->watch);
	if (result < 0) {
		char complaint[128];
		(void)snprintf(complaint, sizeof(complaint),
		        "moult: the launcher cannot take the request: %s", strerror(-result));
		log_limited(&accept_complaint, LOG_LEVEL_ERROR, "control socket: %s",
		        strerror(-result));
		refuse(client, EXIT_FAILED, complaint);
	} else if (!idle_timer.armed)
		loop_after(&idle_timer, REQUEST_PATIENCE);
}

static void acceptable(void *context)
{
	(void)context;
	reserve_release(1);
	int fd = loop_accept(&server, &server_rest);
	if (fd >= 0)
		admit_consume(fd);
	else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
		(void)end_idlest(); /* frees a descriptor */
		log_limited(&accept_complaint, LOG_LEVEL_ERROR, "control socket: cannot accept: %s",
		        strerror(-fd));
	}
	reserve_fill();
}

/* Does a launcher listen at the path? The socket of a killed launcher refuses connections. */
static bool is_served(void)
{
	CLEANUP(fd_close)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
}

/*
 * Two launchers of one name may start at once: only the holder of this lock looks for a running
 * instance and binds.  The lock is a file of ours, because other users may open the directory and
 * lock that.
 */
static int lock_directory(const char *directory, int *ret_lock)
{
	char path[sizeof(address.sun_path) + 8];
	struct stat status;
	nanoseconds deadline = after(LOCK_PATIENCE);
	(void)snprintf(path, sizeof(path), "%s/.lock", directory);
	CLEANUP(fd_close)
	int lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (lock < 0 || fstat(lock, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
		return -EPERM;
	while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (now() >= deadline)
			return -EBUSY;
		nap(10 * MILLISECOND);
	}
	*ret_lock = lock;
	lock = -1;
	return 0;
}

static int bind_and_listen(void)
{
	(void)unlink(address.sun_path); /* ENOENT: no socket was left there */
	server.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server.fd < 0)
		return -errno;
	mode_t mask = umask(0077);
	int result = bind(server.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	return result == 0 && listen(server.fd, 64) < 0 ? -errno : result;
}

int control_start(
        const char *name, control_handler *handler, void *context, char *reason, size_t reason_size)
{
	char directory[sizeof(address.sun_path)];
	int result = control_directory(directory, sizeof(directory), 1);
	if (result < 0) {
		control_directory_explain(result, directory, reason, reason_size);
		return result;
	}
	int length =
	        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", directory, name);
	if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
		(void)snprintf(reason, reason_size,
		        "control socket %s/%s.sock: longer than %zu bytes", directory, name,
		        sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	CLEANUP(fd_close) int lock = -1;
	result = lock_directory(directory, &lock);
	if (result == -EBUSY) {
		(void)snprintf(reason, reason_size,
		        "control directory %s: another process holds the lock %s/.lock for more "
		        "than 5 s",
		        directory, directory);
		return result;
	}
	if (result < 0) {
		(void)snprintf(reason, reason_size, "control directory %s: the lock %s/.lock: %s",
		        directory, directory, strerror(-result));
		return result;
	}
	if (is_served()) {
		(void)snprintf(reason, reason_size,
		        "an instance named %s is running already; choose another with --name",
		        name);
		return -EADDRINUSE;
	}
	result = bind_and_listen();
	handle = handler;
	handle_context = context;
	server.ready = acceptable;
	idle_timer.fire = end_idle;
	if (result == 0)
		result = loop_watch(&server);
	if (result == 0) {
		log_listen(log_to_clients, NULL);
		reserve_fill();
	} else {
		(void)snprintf(reason, reason_size, "control socket %s: %s", address.sun_path,
		        strerror(-result));
	}
	return result;
}

void control_stop(void)
{
	if (server.fd < 0)
		return;
	loop_cancel(&idle_timer);
	loop_cancel(&server_rest);
	reserve_release(RESERVE);
	log_listen(NULL, NULL);
	loop_unwatch(&server);
	(void)unlink(address.sun_path);
	fd_close(&server.fd);
	control_finish(VERB_STOP, false, EXIT_DONE); /* now the next launcher may start */
	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].used)
			forget(&clients[i]);
}
