/* SPDX-License-Identifier: MIT */
/* How a generation is run. */
#include "helper/state/settings.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

void word_list_free(char **words)
{
	for (char **word = words; words && *word; word++)
		free(*word);
	free(words);
}

size_t word_list_count(char *const *words)
{
	size_t count = 0;

	while (words && words[count])
		count++;
	return count;
}

char **word_list_copy(char *const *words, size_t count)
{
	char **copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++) {
		char *word = strdup(words[i]);
		if (!word) {
			word_list_free(copy);
			return NULL;
		}
		copy[i] = word;
	}
	return copy;
}

void settings_init(struct settings *settings)
{
	*settings = (struct settings){
	        .ready = READY_SERVING,
	        .ready_fd = -1,
	        .ready_timeout = 60 * SECOND,
	        .drain_timeout = 300 * SECOND,
	        .kill_after = 10 * SECOND,
	        .stop_signal = SIGTERM,
	        .restart = RESTART_NO,
	        .max_draining = 4,
	};
}

void settings_deinit(struct settings *settings)
{
	string_free(&settings->ready_command);
	word_list_free(settings->command);
	settings->command = NULL;
	word_list_free(settings->aside);
	settings->aside = NULL;
}

int settings_copy(struct settings *to, const struct settings *from)
{
	struct settings copy = *from;

	copy.ready_command = NULL;
	copy.command = NULL;
	copy.aside = NULL;
	if (from->ready_command)
		copy.ready_command = strdup(from->ready_command);
	if (from->command)
		copy.command = word_list_copy(from->command, word_list_count(from->command));
	if (from->aside)
		copy.aside = word_list_copy(from->aside, word_list_count(from->aside));
	if (!copy.ready_command != !from->ready_command || !copy.command != !from->command ||
	        !copy.aside != !from->aside) {
		settings_deinit(&copy);
		return -ENOMEM;
	}
	*to = copy;
	return 0;
}

nanoseconds settings_vacate_timeout(const struct settings *settings)
{
	return settings->drain_timeout_given ? settings->drain_timeout : 5 * SECOND;
}

nanoseconds settings_stop_timeout(const struct settings *settings, bool awaited)
{
	if (settings->stop_timeout_given)
		return settings->stop_timeout;
	return awaited ? settings_vacate_timeout(settings) : settings->drain_timeout;
}

nanoseconds settings_retire_after(const struct settings *settings)
{
	return settings->retire_after_given ? settings->retire_after : settings->ready_timeout;
}
