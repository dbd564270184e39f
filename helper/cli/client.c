/* SPDX-License-Identifier: MIT */
/*
 * The operator's side of the control socket.
 *
 * The launcher does the work and the talking; this relays.  A connection that ends before the exit
 * status came is a launcher that died, and is never taken for success.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/base/fail.h"
#include "helper/base/printable.h"
#include "helper/base/units.h"
#include "helper/cli/client.h"
#include "helper/control/protocol.h"

enum {
	PATIENCE_MS = 5000, /* for a launcher that has only to look something up */
	NO_LIMIT = -1,
	INSTANCES_MAX = 1024,
};

#define CLEAR_SCREEN "\033[H\033[2J"
#define ERASE_LINE   "\r\033[K"
#define LIST_COLUMNS "%-20s %8s  %-9s %10s  %s\n"

struct request {
	char *text;
	size_t length;
};

struct answer {
	char kind;
	size_t length;
	char text[CONTROL_ANSWER_MAX + 1];
};

/* What of a progress line is still on the terminal. */
struct screen {
	bool terminal;
	bool progress;
	bool clear_first; /* before the next text on stdout */
	bool quiet;
	/* --quiet: lines, each with its newline, that are worth saying only if the end is bad */
	char held[8192];
	size_t held_length;
};

struct instances {
	char *names[INSTANCES_MAX];
	size_t count;
};

static void request_deinit(struct request *request)
{
	free(request->text);
	request->text = NULL;
}

static void request_add(struct request *request, const char *word)
{
	size_t length = strlen(word) + 1;

	if (request->text)
		memcpy(request->text + request->length, word, length);
	request->length += length;
}

/* 0, -E2BIG or -ENOMEM. */
static int request_init(struct request *request, enum verb verb, int word_count, char **words)
{
	/* Measured first, then written */
	for (int pass = 0; pass < 2; pass++) {
		request->length = 0;
		request_add(request, CONTROL_PROTOCOL);
		request_add(request, verb_name(verb));
		for (int i = 0; i < word_count; i++)
			request_add(request, words[i]);
		if (request->length > CONTROL_REQUEST_MAX)
			return -E2BIG;
		if (!request->text) {
			request->text = malloc(request->length);
			if (!request->text)
				return -ENOMEM;
		}
	}
	return 0;
}

static int socket_address(struct sockaddr_un *address, const char *directory, const char *name)
{
	int length;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(
	        address->sun_path, sizeof(address->sun_path), "%s/%s.sock", directory, name);
	return length < 0 || (size_t)length >= sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

/* A connected socket, or -errno; a launcher that does not even accept is -EAGAIN. */
static int control_connect(const struct sockaddr_un *address, int patience_ms)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int room = 2 * CONTROL_REQUEST_MAX;
	int result;

	if (fd < 0)
		return -errno;
	/* A request is one datagram: as far as the system allows there is room for the longest */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (patience_ms >= 0) {
		struct timeval limit = {.tv_sec = patience_ms / 1000};

		/* connect() waits too, while the queue is full */
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	do
		result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	while (result < 0 && errno == EINTR);
	if (result < 0) {
		result = -errno;
		close(fd);
		return result;
	}
	return fd;
}

static int request_send(int fd, const struct request *request)
{
	ssize_t n;

	do
		n = send(fd, request->text, request->length, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* A launcher that turned us away has closed its end, and may have said why */
	return n < 0 && errno != EPIPE && errno != ECONNRESET ? -errno : 0;
}

/* 1 an answer, 0 the launcher is gone, -ETIMEDOUT, other -errno. */
static int answer_receive(int fd, int patience_ms, struct answer *answer)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};
	struct iovec parts[] = {{&answer->kind, 1}, {answer->text, sizeof(answer->text) - 1}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT(parts)};
	ssize_t n;
	int result;

	do
		result = poll(&in, 1, patience_ms);
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return -errno;
	if (result == 0)
		return -ETIMEDOUT;
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n == 0)
		return 0;
	answer->length = (size_t)n - 1;
	answer->text[answer->length] = '\0';
	return 1;
}

/* Lines hold names and reasons from programs: nothing in them may drive the terminal. */
static void make_printable(struct answer *answer)
{
	printable_make(answer->text);
	answer->length = strlen(answer->text);
}

static void screen_erase(struct screen *screen)
{
	if (screen->progress)
		(void)fputs(ERASE_LINE, stderr);
	screen->progress = false;
}

/* What does not fit is the beginning of a long story; its end is what matters. */
static void hold_line(struct screen *screen, const struct answer *answer)
{
	size_t length = answer->length + 1;

	if (length > sizeof(screen->held))
		return;
	if (length > sizeof(screen->held) - screen->held_length)
		screen->held_length = 0;
	memcpy(screen->held + screen->held_length, answer->text, answer->length);
	screen->held_length += length;
	screen->held[screen->held_length - 1] = '\n';
}

static void show_progress(struct screen *screen, struct answer *answer)
{
	struct winsize size = {0};
	size_t columns = 80;

	if (!screen->terminal)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		columns = size.ws_col;
	/* A line that wraps could not be erased */
	if (answer->length >= columns)
		answer->text[columns - 1] = '\0';
	make_printable(answer);
	(void)fprintf(stderr, ERASE_LINE "%.*s", (int)answer->length, answer->text);
	(void)fflush(stderr);
	screen->progress = true;
}

static void show(struct screen *screen, struct answer *answer)
{
	switch (answer->kind) {
	case CONTROL_LINE:
		screen_erase(screen);
		make_printable(answer);
		if (screen->quiet)
			hold_line(screen, answer);
		else
			(void)fprintf(stderr, "%s\n", answer->text);
		break;
	case CONTROL_TEXT:
		screen_erase(screen);
		if (screen->clear_first)
			(void)fputs(CLEAR_SCREEN, stdout);
		screen->clear_first = false;
		(void)fwrite(answer->text, 1, answer->length, stdout);
		(void)fflush(stdout);
		break;
	case CONTROL_PROGRESS: show_progress(screen, answer); break;
	default: break; /* of a later version */
	}
}

/* The exit status the launcher sent; -1 when it is not one. */
static int parse_status(const char *text)
{
	char *end;
	long status = strtol(text, &end, 10);

	return end == text || *end || status < 0 || status > 255 ? -1 : (int)status;
}

static int relay(int fd, enum verb verb, const char *name, struct screen *screen)
{
	static struct answer answer;
	/* A drain, and a daemon that ignores its stop signal, last as long as they last */
	int patience = verb == VERB_UPGRADE || verb == VERB_STOP ? NO_LIMIT : PATIENCE_MS;
	int result, status;

	for (;;) {
		result = answer_receive(fd, patience, &answer);
		if (result <= 0 || answer.kind == CONTROL_EXIT)
			break;
		show(screen, &answer);
	}
	screen_erase(screen);
	status = result > 0 ? parse_status(answer.text) : -1;
	if (status != EXIT_DONE)
		(void)fwrite(screen->held, 1, screen->held_length, stderr);
	if (result == 0)
		return fail(EXIT_FAILED, "%s: the launcher ended before it answered", name);
	if (result == -ETIMEDOUT)
		return fail(EXIT_FAILED, "%s: the launcher does not answer", name);
	if (result < 0)
		return fail(EXIT_FAILED, "%s: no answer: %s", name, strerror(-result));
	if (status < 0)
		return fail(EXIT_FAILED, "%s: the launcher's answer makes no sense", name);
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail(EXIT_FAILED, "cannot write the answer: %s", strerror(errno));
	return status;
}

static int ask(enum verb verb, const char *name, const struct sockaddr_un *address,
        const struct request *request, struct screen *screen)
{
	CLEANUP(fd_close)
	int fd = control_connect(address, verb == VERB_UPGRADE ? NO_LIMIT : PATIENCE_MS);
	int result;

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return fail(EXIT_NO_INSTANCE, "no running instance named %s (%s)", name,
		        address->sun_path);
	if (fd == -EAGAIN)
		return fail(EXIT_FAILED, "%s: the launcher does not answer", name);
	if (fd < 0)
		return fail(EXIT_FAILED, "%s: cannot reach the launcher: %s", name, strerror(-fd));
	result = request_send(fd, request);
	if (result == -EMSGSIZE)
		return fail(EXIT_USAGE, "the command line is too long for this system");
	if (result < 0)
		return fail(
		        EXIT_FAILED, "%s: cannot ask the launcher: %s", name, strerror(-result));
	return relay(fd, verb, name, screen);
}

static void instances_deinit(struct instances *instances)
{
	for (size_t i = 0; i < instances->count; i++)
		free(instances->names[i]);
	instances->count = 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The name an entry of the directory stands for, or NULL. */
static char *entry_name(const char *entry)
{
	size_t length = strlen(entry);
	char *name;

	if (length <= 5 || strcmp(entry + length - 5, ".sock") != 0)
		return NULL;
	name = strndup(entry, length - 5);
	if (name && !name_is_valid(name))
		string_free(&name);
	return name;
}

/* Every NAME.sock, alive or not, sorted. 0 or -errno. */
static int instances_read(const char *directory, struct instances *instances)
{
	DIR *entries = opendir(directory);
	const struct dirent *entry;

	if (!entries)
		return errno == ENOENT ? 0 : -errno;
	while (instances->count < INSTANCES_MAX && (entry = readdir(entries))) {
		char *name = entry_name(entry->d_name);

		if (name)
			instances->names[instances->count++] = name;
	}
	closedir(entries);
	qsort(instances->names, instances->count, sizeof(*instances->names), compare_names);
	return 0;
}

/* Somebody listens there, or at least we cannot say that nobody does. */
static bool instance_is_running(const char *directory, const char *name)
{
	struct sockaddr_un address;
	int fd;

	if (socket_address(&address, directory, name) < 0)
		return false;
	fd = control_connect(&address, PATIENCE_MS);
	if (fd >= 0)
		close(fd);
	return fd != -ECONNREFUSED && fd != -ENOENT;
}

static int complain_several(const struct instances *instances)
{
	char names[512];
	size_t used = 0;

	for (size_t i = 0; i < instances->count && used < sizeof(names); i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
		        i > 0 ? ", " : "", instances->names[i]);
	return fail(EXIT_USAGE, "several instances are running, say which: %s", names);
}

/* The only running instance. 0, or the exit status to end with. */
static int find_only(const char *directory, char **ret_name)
{
	CLEANUP(instances_deinit) struct instances instances = {0};
	size_t running = 0;
	int result = instances_read(directory, &instances);

	if (result < 0)
		return fail(EXIT_FAILED, "%s: %s", directory, strerror(-result));
	for (size_t i = 0; i < instances.count; i++) {
		char *name = instances.names[i];

		/* The running ones move to the front */
		if (instance_is_running(directory, name)) {
			instances.names[i] = instances.names[running];
			instances.names[running++] = name;
		}
	}
	for (size_t i = running; i < instances.count; i++)
		free(instances.names[i]);
	instances.count = running;
	if (running == 0)
		return fail(EXIT_NO_INSTANCE, "no running instance (in %s)", directory);
	if (running > 1)
		return complain_several(&instances);
	*ret_name = instances.names[0];
	instances.count = 0;
	return 0;
}

static int find_directory(char *directory, size_t size)
{
	int result = control_directory(directory, size, 0);
	char reason[400];

	if (result == 0)
		return 0;
	control_directory_explain(result, directory, reason, sizeof(reason));
	return fail(EXIT_FAILED, "%s", reason);
}

int client_run(enum verb verb, const struct options *options, int word_count, char **words)
{
	CLEANUP(request_deinit) struct request request = {0};
	CLEANUP(string_free) char *found = NULL;
	const char *name = options->name;
	bool quiet = options->level == LOG_LEVEL_ERROR;
	struct screen screen = {
	        .terminal = isatty(STDERR_FILENO) && !quiet,
	        .quiet = quiet,
	};
	char directory[sizeof(struct sockaddr_un)];
	struct sockaddr_un address;
	char *json[] = {"--json"};
	int result;

	/* Watching is done here */
	if (verb == VERB_STATUS) {
		words = json;
		word_count = options->json;
	}
	result = request_init(&request, verb, word_count, words);
	if (result == -E2BIG)
		return fail(EXIT_USAGE, "the command line is too long, at most %d bytes",
		        CONTROL_REQUEST_MAX);
	if (result < 0)
		return fail(EXIT_FAILED, "%s", strerror(-result));
	result = find_directory(directory, sizeof(directory));
	if (result == 0 && !name) {
		result = find_only(directory, &found);
		name = found;
	}
	if (result != 0)
		return result;
	if (socket_address(&address, directory, name) < 0)
		return fail(EXIT_FAILED, "%s/%s.sock: too long for a socket", directory, name);

	for (;;) {
		screen.clear_first = options->watch && isatty(STDOUT_FILENO);
		result = ask(verb, name, &address, &request, &screen);
		if (!options->watch || result != EXIT_DONE)
			return result;
		sleep(1);
	}
}

/* Asks and listens to the end, so that the launcher never talks to a closed socket. */
static bool list_ask(int fd, const struct request *request, struct answer *ret_answer)
{
	static struct answer answer;
	bool answered = false;

	if (request_send(fd, request) < 0)
		return false;
	while (answer_receive(fd, PATIENCE_MS, &answer) > 0 && answer.kind != CONTROL_EXIT) {
		if (answer.kind == CONTROL_TEXT) {
			*ret_answer = answer;
			answered = true;
		}
	}
	return answered;
}

static void list_one(const char *directory, const char *name, const struct request *request)
{
	static struct answer answer;
	struct sockaddr_un address;
	CLEANUP(fd_close) int fd = -1;

	if (socket_address(&address, directory, name) < 0)
		return;
	fd = control_connect(&address, PATIENCE_MS);
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return;
	if (fd < 0 || !list_ask(fd, request, &answer)) {
		(void)printf(LIST_COLUMNS, name, "?", "unknown", "?", "(does not answer)");
		return;
	}
	/* The launcher has put it into columns */
	if (answer.length > 0 && answer.text[answer.length - 1] == '\n')
		answer.text[--answer.length] = '\0';
	make_printable(&answer);
	(void)puts(answer.text);
}

int client_list(void)
{
	CLEANUP(request_deinit) struct request request = {0};
	CLEANUP(instances_deinit) struct instances instances = {0};
	char directory[sizeof(struct sockaddr_un)];
	int result = find_directory(directory, sizeof(directory));

	if (result != 0)
		return result;
	result = request_init(&request, VERB_LIST, 0, NULL);
	if (result == 0)
		result = instances_read(directory, &instances);
	if (result < 0)
		return fail(EXIT_FAILED, "%s: %s", directory, strerror(-result));
	(void)printf(LIST_COLUMNS, "NAME", "PID", "STATE", "GENERATION", "COMMAND");
	for (size_t i = 0; i < instances.count; i++)
		list_one(directory, instances.names[i], &request);
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail(EXIT_FAILED, "cannot write the list: %s", strerror(errno));
	return EXIT_DONE;
}
