/* SPDX-License-Identifier: MIT */
/* Finding a program's file as execvp() does. */
#pragma once

#include <stddef.h>

/* Where it is looked for. */
struct lookup {
	const char *path; /* the value of PATH; NULL: none is set */
	const char *root; /* "": ours; else the directory that is the root by then */
};

/*
 * The file that `name` stands for, as seen from here, to `path`.  0; -ENOENT not found; -EACCES
 * etc. cannot be executed; -ENOSYS: this kernel cannot look into another root.
 */
int lookup_program(const struct lookup *lookup, const char *name, char *path, size_t size);

/* The same for a path alone: nothing is searched. */
int lookup_file(const struct lookup *lookup, const char *name, char *path, size_t size);
