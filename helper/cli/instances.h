/* SPDX-License-Identifier: MIT */
/* The instances of this user, from the names of their control sockets. */
#pragma once

#include <stddef.h>

enum { INSTANCES_MAX = 1024 };

/* All zero: none. The names belong to the struct. */
struct instances {
	char *names[INSTANCES_MAX];
	size_t count;
};

void instances_deinit(struct instances *instances);

/* The runtime directory. 0, or the exit status after a complaint on stderr. */
int instances_directory(char *directory, size_t size);

/*
 * The names of all sockets in `directory`, sorted, whether their launchers live or not; the first
 * INSTANCES_MAX that are found.  0, also without a directory, or -errno.
 */
int instances_read(const char *directory, struct instances *instances);

/*
 * The name of the only running instance, which the caller frees.  0, or the exit status after a
 * complaint on stderr: there is none, or more than one.
 */
int instances_find_only(const char *directory, char **ret_name);
