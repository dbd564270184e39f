/* SPDX-License-Identifier: MIT */
/* Finds a program's file as execvp() does. */
#pragma once

#include <stddef.h>

/* Where to look for it. */
struct lookup {
	const char *path; /* the value of PATH; NULL: none is set */
	const char *root; /* "": the launcher's; else the directory that will be the root */
};

/*
 * Copies to `path` the file that `name` stands for, as a path in the launcher's own root.  0;
 * -ENOENT: not found; -EACCES and others: cannot be executed; -ENOSYS: this kernel cannot look into
 * another root (openat2(), Linux 5.6).
 */
int lookup_program(const struct lookup *lookup, const char *name, char *path, size_t size);

/* The same for a path: PATH is not searched. */
int lookup_file(const struct lookup *lookup, const char *name, char *path, size_t size);
