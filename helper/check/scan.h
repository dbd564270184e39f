/* SPDX-License-Identifier: MIT */
/*
 * What a program's code and its strings hint at.  Hints: none of it is proof, and none of it is
 * looked for longer than a fixed amount of bytes.
 */
#pragma once

#include <stdbool.h>

#include "helper/check/elf.h"

enum { SCAN_PATHS_MAX = 4, SCAN_TEXT_MAX = 96 };

struct scan {
	/* Code */
	char call[16];  /* a system call that it makes by itself, "accept4"; empty: none was seen */
	bool has_uring; /* it makes an io_uring by itself */
	bool passes_uring; /* or has syscall() make one, if it calls that */

	/* Strings; names of libc's functions are among them when the program imports those */
	bool calls_uring; /* liburing's functions */
	bool locks;       /* flock, lockf, fcntl */
	bool calls_syscall;
	bool accepts;  /* bind, accept, accept4 */
	bool kills;    /* kill: to see whether a process is there */
	bool detaches; /* daemon, setsid */

	/* Strings */
	char refusal[SCAN_TEXT_MAX];               /* "another instance is already running" */
	char data_lock[SCAN_TEXT_MAX];             /* "lock.pid": a lock of the data it works on */
	char paths[SCAN_PATHS_MAX][SCAN_TEXT_MAX]; /* "/run/x.pid" */
	size_t path_count;
};

/* They add to what is in `scan`. */
void scan_code(struct file *file, const struct elf *elf, struct scan *scan);
void scan_imports(struct file *file, const struct elf *elf, struct scan *scan);
void scan_strings(struct file *file, const struct elf *elf, struct scan *scan);
