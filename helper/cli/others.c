/* SPDX-License-Identifier: MIT */
/* The instances of other users. */
#include "helper/cli/others.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/base/units.h"
#include "helper/base/util.h"

enum { LISTENS = 0x10000 /* __SO_ACCEPTCON */ };

void others_deinit(struct others *others)
{
	for (size_t i = 0; i < others->count; i++)
		free(others->paths[i]);
	others->count = 0;
}

/* "ffff8880: 00000002 00000000 00010000 0005 01 4712 /run/a/moult/name.sock": the path, or NULL. */
static char *path_of(char *line)
{
	unsigned flags, type;
	int end = 0;

	if (sscanf(line, "%*s %*x %*x %x %x %*x %*u %n", &flags, &type, &end) != 2 || !end ||
	        !(flags & LISTENS) || type != SOCK_SEQPACKET || line[end] != '/')
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return line + end;
}

static bool is_instance(const char *path, const char *own)
{
	const char *file = strrchr(path, '/');
	size_t length = strlen(file + 1), directory = (size_t)(file - path);
	char name[108];

	if (length <= 5 || length - 5 >= sizeof(name) || strcmp(file + length - 4, ".sock") != 0 ||
	        directory < 6 || strncmp(file - 6, "/moult", 6) != 0 ||
	        (strlen(own) == directory && !strncmp(path, own, directory)))
		return false;
	memcpy(name, file + 1, length - 5);
	name[length - 5] = '\0';
	return name_is_valid(name);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void others_read(const char *own, struct others *others)
{
	FILE *file = fopen("/proc/self/net/unix", "re");
	char *line = NULL;
	size_t room = 0;

	while (file && others->count < OTHERS_MAX && getline(&line, &room, file) > 0) {
		char *path = path_of(line);

		if (path && is_instance(path, own) && (path = strdup(path)))
			others->paths[others->count++] = path;
	}
	free(line);
	if (file)
		(void)fclose(file);
	qsort(others->paths, others->count, sizeof(*others->paths), compare);
}
