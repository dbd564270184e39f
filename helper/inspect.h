/* SPDX-License-Identifier: MIT */
/*
 * What can be told about a program from its file: will LD_PRELOAD reach it at all?
 * The file is untrusted input: every offset is checked against its size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum inspect_verdict {
	INSPECT_FINE,
	INSPECT_STATIC,  /* no dynamic loader: no preload */
	INSPECT_SECURE,  /* set-uid, set-gid or file capabilities that apply here: loader ignores it
	                  */
	INSPECT_GO,      /* dynamic or not, makes its own system calls */
	INSPECT_FOREIGN, /* another architecture or class than ours, or not ELF and not a script */
};

/* Where execvp would find it. 0 or -errno. */
int inspect_find(const char *program, char *path, size_t size);

/*
 * Looks argv[0] up as execvp would (PATH of this process), follows #! lines (up to 4), and judges
 * the program that would run.  Returns 0; -ENOENT not found; -EACCES etc. cannot be executed.
 * `reason`: one clause for people, empty when fine: "/bin/x is statically linked: the library
 * cannot be loaded into it; it runs, but upgrades are not possible"; on an error it may say more
 * than errno does.  A set-uid file counts as secure only when running it would change our uid.
 */
int inspect_program(
        const char *program, enum inspect_verdict *ret_verdict, char *reason, size_t size);
