/* SPDX-License-Identifier: MIT */
/* The values of options, and what is said about wrong ones. */
#include "helper/cli/values.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/units.h"

int complain(const struct complaint *to, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(to->text, to->size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int out_of_memory(const struct complaint *to)
{
	(void)complain(to, "out of memory");
	return -ENOMEM;
}

int string_replace(char **string, const char *text, const struct complaint *to)
{
	char *copy = strdup(text);

	if (!copy)
		return out_of_memory(to);
	free(*string);
	*string = copy;
	return 0;
}

int value_ready(struct settings *settings, const char *how, const struct complaint *to)
{
	int fd = -1;

	if (!strncmp(how, "exec=", 5)) {
		if (!how[5])
			return complain(to, "--ready=exec=: the command is missing");
		settings->ready = READY_EXEC;
		return string_replace(&settings->ready_command, how + 5, to);
	}
	if (!strncmp(how, "fd=", 3)) {
		if (!number_parse(how + 3, 0, 1023, &fd))
			return complain(
			        to, "--ready=%s: not a descriptor number from 3 to 1023", how);
		if (fd <= STDERR_FILENO)
			return complain(to,
			        "--ready=%s: 0, 1 and 2 are the program's standard streams (try "
			        "fd=3)",
			        how);
		settings->ready = READY_FD;
	} else if (!strcmp(how, "serving")) {
		settings->ready = READY_SERVING;
	} else if (!strcmp(how, "notify")) {
		settings->ready = READY_NOTIFY;
	} else {
		return complain(
		        to, "--ready=%s: not one of serving, notify, fd=N, exec=COMMAND", how);
	}
	settings->ready_fd = fd;
	string_free(&settings->ready_command);
	return 0;
}

int value_notify_fd(int *number, const char *text, const struct complaint *to)
{
	if (!number_parse(text, STDERR_FILENO + 1, 1023, number))
		return complain(to, "--notify-fd=%s: not a descriptor number from 3 to 1023", text);
	return 0;
}

int value_time(nanoseconds *time, const char *option, const char *text, const struct complaint *to)
{
	if (duration_parse(text, time) < 0)
		return complain(
		        to, "--%s=%s: not a time (try 500ms, 30s, 5m, 1h, infinity)", option, text);
	return 0;
}

int value_ready_timeout(nanoseconds *time, const char *text, const struct complaint *to)
{
	nanoseconds wanted = 0;
	int result = value_time(&wanted, "ready-timeout", text, to);

	if (result < 0)
		return result;
	if (wanted == 0)
		return complain(to, "--ready-timeout=%s: must be more than 0", text);
	*time = wanted;
	return 0;
}

int value_signal(int *number, const char *option, const char *text, const struct complaint *to)
{
	if (signal_parse(text, number) < 0)
		return complain(
		        to, "--%s=%s: not a signal (try TERM, QUIT, USR1, 15)", option, text);
	return 0;
}

int value_restart(enum restart_policy *policy, const char *text, const struct complaint *to)
{
	if (!strcmp(text, "no"))
		*policy = RESTART_NO;
	else if (!strcmp(text, "on-failure"))
		*policy = RESTART_ON_FAILURE;
	else if (!strcmp(text, "always"))
		*policy = RESTART_ALWAYS;
	else
		return complain(to, "--restart=%s: not one of no, on-failure, always", text);
	return 0;
}

/* The first one begins a new list. */
int value_aside(
        struct settings *settings, bool *named, const char *path, const struct complaint *to)
{
	size_t count = 0;
	char **list;

	if (!*named) {
		word_list_free(settings->aside);
		settings->aside = NULL;
		*named = true;
	}
	if (!*path)
		return 0;
	if (path[strlen(path) - 1] == '/')
		return complain(to, "--aside=%s: a directory cannot be put aside", path);
	count = word_list_count(settings->aside);
	list = reallocarray(settings->aside, count + 2, sizeof(*list));
	if (!list)
		return out_of_memory(to);
	settings->aside = list;
	list[count] = strdup(path);
	list[count + 1] = NULL;
	return list[count] ? 0 : out_of_memory(to);
}

int value_log(bool *to_syslog, const char *text, const struct complaint *to)
{
	if (strcmp(text, "stderr") && strcmp(text, "syslog"))
		return complain(to, "--log=%s: not one of stderr, syslog", text);
	*to_syslog = !strcmp(text, "syslog");
	return 0;
}

int value_name(char **ret_name, const char *name, const struct complaint *to)
{
	if (!name_is_valid(name))
		return complain(to,
		        "%s: not a name (at most 64 of A-Z a-z 0-9 . _ @ -, not starting with . "
		        "or -)",
		        name);
	return string_replace(ret_name, name, to);
}
