/* SPDX-License-Identifier: MIT */
/*
 * The operator's commands.
 *
 * The launcher does the work and sends each line; the command only prints them.  If the connection
 * ends before the exit status has come, the launcher has died, and the command fails.
 */
#include "helper/cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/base/fail.h"
#include "helper/base/printable.h"
#include "helper/cli/ask.h"
#include "helper/cli/instances.h"
#include "helper/cli/others.h"
#include "helper/cli/screen.h"

#define LIST_COLUMNS "%-20s %8s  %-9s %10s  %s\n"

/* The exit status in the launcher's last answer; -1: the text is not an exit status. */
static int parse_status(const char *text)
{
	char *end;
	long status = strtol(text, &end, 10);

	return end == text || *end || status < 0 || status > 255 ? -1 : (int)status;
}

static int relay(int fd, enum verb verb, const char *name, struct screen *screen)
{
	static struct answer answer;
	/* A drain has no fixed end, and neither has a daemon that ignores its stop signal */
	int patience = verb == VERB_UPGRADE || verb == VERB_STOP ? NO_LIMIT : PATIENCE_MS;
	int result, status;

	for (;;) {
		result = answer_receive(fd, patience, &answer);
		if (result <= 0 || answer.kind == CONTROL_EXIT)
			break;
		screen_show(screen, &answer);
	}
	screen_erase(screen);
	status = result > 0 ? parse_status(answer.text) : -1;
	if (status != EXIT_DONE)
		screen_flush_held(screen);
	if (result == 0)
		return fail(EXIT_FAILED, "%s: the launcher ended before it answered", name);
	if (result == -ETIMEDOUT)
		return fail(EXIT_FAILED, "%s: the launcher does not answer", name);
	if (result < 0)
		return fail(EXIT_FAILED, "%s: no answer: %s", name, strerror(-result));
	if (status < 0)
		return fail(EXIT_FAILED, "%s: the launcher's answer is malformed", name);
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail(EXIT_FAILED, "cannot write the answer: %s", strerror(errno));
	return status;
}

/* Root learns where another user has an instance of that name, which may be the one that is meant. */
static int complain_none(const char *name, const char *path)
{
	CLEANUP(others_deinit) struct others others = {0};
	char end[sizeof(struct sockaddr_un)];
	size_t length = (size_t)snprintf(end, sizeof(end), "/%s.sock", name);

	if (geteuid() == 0)
		others_read("", &others);
	for (size_t i = 0; i < others.count; i++) {
		size_t all = strlen(others.paths[i]), directory = all > length ? all - length : 0;

		if (directory && !strcmp(others.paths[i] + directory, end))
			return fail(EXIT_NO_INSTANCE,
			        "no running instance named %s (%s); there is one with "
			        "MOULT_RUNTIME_DIR=%.*s",
			        name, path, (int)directory, others.paths[i]);
	}
	return fail(EXIT_NO_INSTANCE, "no running instance named %s (%s)", name, path);
}

static int ask(enum verb verb, const char *name, const struct sockaddr_un *address,
        const struct control_request *request, struct screen *screen)
{
	CLEANUP(fd_close)
	int fd = control_connect(address, verb == VERB_UPGRADE ? NO_LIMIT : PATIENCE_MS);
	int result;

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return complain_none(name, address->sun_path);
	if (fd == -EAGAIN)
		return fail(EXIT_FAILED, "%s: the launcher does not answer", name);
	if (fd < 0)
		return fail(EXIT_FAILED, "%s: cannot reach the launcher: %s", name, strerror(-fd));
	result = control_request_send(fd, request);
	if (result == -EMSGSIZE)
		return fail(EXIT_USAGE, "the command line is too long for this system");
	if (result < 0)
		return fail(
		        EXIT_FAILED, "%s: cannot ask the launcher: %s", name, strerror(-result));
	return relay(fd, verb, name, screen);
}

int client_run(enum verb verb, const struct options *options, int word_count, char **words)
{
	CLEANUP(control_request_deinit) struct control_request request = {0};
	CLEANUP(string_free) char *found = NULL;
	const char *name = options->name;
	bool quiet = options->level == LOG_LEVEL_ERROR;
	struct screen screen = {
	        .terminal = isatty(STDERR_FILENO) && !quiet,
	        .quiet = quiet,
	};
	char directory[sizeof(struct sockaddr_un)];
	struct sockaddr_un address;
	struct stat status;
	char *json[] = {"--json"};
	int result;

	/* --watch and the name stay here: the launcher is told --json only */
	if (verb == VERB_STATUS) {
		words = json;
		word_count = options->json;
	}
	result = control_request_init(&request, verb, word_count, words);
	if (result == -E2BIG)
		return fail(EXIT_USAGE, "the command line is too long, at most %d bytes",
		        CONTROL_REQUEST_MAX);
	if (result < 0)
		return fail(EXIT_FAILED, "%s", strerror(-result));
	result = instances_directory(directory, sizeof(directory));
	if (result == 0 && !name) {
		result = instances_find_only(directory, &found);
		name = found;
	}
	if (result != 0)
		return result;
	if (control_address(&address, directory, name) < 0)
		return fail(EXIT_FAILED, "%s/%s.sock: too long for a socket", directory, name);

	screen.foreign = stat(directory, &status) == 0 && status.st_uid != geteuid();
	for (;;) {
		screen.clear_first = options->watch && isatty(STDOUT_FILENO);
		result = ask(verb, name, &address, &request, &screen);
		if (!options->watch || result != EXIT_DONE)
			return result;
		sleep(1);
	}
}

/* Reads all answers, so that the launcher never writes to a closed socket. False: no text came. */
static bool list_ask(int fd, const struct control_request *request, struct answer *ret_answer)
{
	static struct answer answer;
	bool answered = false;

	if (control_request_send(fd, request) < 0)
		return false;
	while (answer_receive(fd, PATIENCE_MS, &answer) > 0 && answer.kind != CONTROL_EXIT) {
		if (answer.kind == CONTROL_TEXT) {
			*ret_answer = answer;
			answered = true;
		}
	}
	return answered;
}

static void list_one(const char *directory, const char *name, const struct control_request *request)
{
	static struct answer answer;
	struct sockaddr_un address;
	CLEANUP(fd_close) int fd = -1;

	if (control_address(&address, directory, name) < 0)
		return;
	fd = control_connect(&address, PATIENCE_MS);
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return;
	if (fd < 0 || !list_ask(fd, request, &answer)) {
		(void)printf(LIST_COLUMNS, name, "?", "unknown", "?", "(does not answer)");
		return;
	}
	/* The launcher has formatted the line in LIST_COLUMNS */
	if (answer.length > 0 && answer.text[answer.length - 1] == '\n')
		answer.text[--answer.length] = '\0';
	answer_make_printable(&answer);
	(void)puts(answer.text);
}

/* With the directory, which the other commands need. */
static void list_others(const char *own, const struct control_request *request)
{
	CLEANUP(others_deinit) struct others others = {0};
	nanoseconds deadline = after(2 * PATIENCE_MS * MILLISECOND);

	others_read(own, &others);
	for (size_t i = 0; i < others.count; i++) {
		if (now() >= deadline) {
			(void)fail(EXIT_FAILED, "the instances of other users answer too slowly: "
			                        "not all are shown");
			return;
		}
		char *path = others.paths[i], *file = strrchr(path, '/');

		*file = '\0';
		if (i == 0 || strcmp(others.paths[i - 1], path) != 0) {
			(void)fputs("MOULT_RUNTIME_DIR=", stdout);
			printable_write(stdout, path);
			(void)puts(":");
		}
		file[strlen(file + 1) - 4] = '\0'; /* without ".sock" */
		list_one(path, file + 1, request);
	}
}

int client_list(void)
{
	CLEANUP(control_request_deinit) struct control_request request = {0};
	CLEANUP(instances_deinit) struct instances instances = {0};
	char directory[sizeof(struct sockaddr_un)];
	int result = instances_directory(directory, sizeof(directory));

	if (result != 0)
		return result;
	result = control_request_init(&request, VERB_LIST, 0, NULL);
	if (result == 0)
		result = instances_read(directory, &instances);
	if (result < 0)
		return fail(EXIT_FAILED, "%s: %s", directory, strerror(-result));
	(void)printf(LIST_COLUMNS, "NAME", "PID", "STATE", "GENERATION", "COMMAND");
	for (size_t i = 0; i < instances.count; i++)
		list_one(directory, instances.names[i], &request);
	if (geteuid() == 0)
		list_others(directory, &request);
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail(EXIT_FAILED, "cannot write the list: %s", strerror(errno));
	return EXIT_DONE;
}
