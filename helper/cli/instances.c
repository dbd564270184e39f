/* SPDX-License-Identifier: MIT */
/* The instances of this user, from the names of their control sockets. */
#include "helper/cli/instances.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/fail.h"
#include "helper/base/units.h"
#include "helper/cli/ask.h"

void instances_deinit(struct instances *instances)
{
	for (size_t i = 0; i < instances->count; i++)
		free(instances->names[i]);
	instances->count = 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* NAME of the file name "NAME.sock", allocated; NULL: another file, or no memory. */
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

int instances_read(const char *directory, struct instances *instances)
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

/* False only if certainly nobody listens there. */
static bool instance_is_running(const char *directory, const char *name)
{
	struct sockaddr_un address;
	int fd;

	if (control_address(&address, directory, name) < 0)
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

int instances_find_only(const char *directory, char **ret_name)
{
	CLEANUP(instances_deinit) struct instances instances = {0};
	size_t running = 0;
	int result = instances_read(directory, &instances);

	if (result < 0)
		return fail(EXIT_FAILED, "%s: %s", directory, strerror(-result));
	for (size_t i = 0; i < instances.count; i++) {
		char *name = instances.names[i];

		/* Running instances move to the front */
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

int instances_directory(char *directory, size_t size)
{
	int result = control_directory(directory, size, 0);
	char reason[400];

	if (result == 0)
		return 0;
	control_directory_explain(result, directory, reason, sizeof(reason));
	return fail(EXIT_FAILED, "%s", reason);
}
