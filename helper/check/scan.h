/* SPDX-License-Identifier: MIT */
/*
 * Hints in a program's code, imports and strings.  A hint is not a proof.  Each search ends after a
 * fixed number of bytes.
 */
#pragma once

#include <stdbool.h>

#include "helper/check/elf.h"

enum { SCAN_PATHS_MAX = 4, SCAN_TEXT_MAX = 96 };

struct scan {
	/* Code */
	char call[16];     /* a system call that its code makes, "accept4"; empty: none seen */
	bool has_uring;    /* its code makes the system call io_uring_setup */
	bool passes_uring; /* it passes that number to a function, maybe syscall() */

	/* Imported functions */
	bool calls_uring; /* liburing's functions */
	bool locks;       /* flock, lockf, fcntl */
	bool calls_syscall;
	bool accepts;  /* bind, accept, accept4 */
	bool kills;    /* kill: may ask whether a process lives */
	bool detaches; /* daemon, setsid */

	/* Strings */
	char refusal[SCAN_TEXT_MAX];               /* "another instance is already running" */
	char data_lock[SCAN_TEXT_MAX];             /* "lock.pid": a lock in its data directory */
	char paths[SCAN_PATHS_MAX][SCAN_TEXT_MAX]; /* "/run/x.pid" */
	size_t path_count;
};

/* Each adds its part to `scan`. */
void scan_code(struct file *file, const struct elf *elf, struct scan *scan);
void scan_imports(struct file *file, const struct elf *elf, struct scan *scan);
void scan_strings(struct file *file, const struct elf *elf, struct scan *scan);
