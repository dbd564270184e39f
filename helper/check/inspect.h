/* SPDX-License-Identifier: MIT */
/* Will LD_PRELOAD reach a program? Judged by the program's file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/check/chain.h"

enum inspect_verdict {
	INSPECT_FINE,
	INSPECT_STATIC,  /* no dynamic loader, so no preload */
	INSPECT_SECURE,  /* set-uid, set-gid or file capabilities that apply here: the loader
	                      ignores LD_PRELOAD */
	INSPECT_GO,      /* makes its own system calls, even if linked dynamically */
	INSPECT_FOREIGN, /* another architecture or class than ours, or not ELF and not a script */
	INSPECT_HIDDEN,  /* in another root, and the library is not in there */
	INSPECT_ELSEWHERE, /* started by another process, such as systemd: not our child */
	INSPECT_UNKNOWN,   /* must be the last: not judged (helper/check/inspection.h) */
};

/* Remembers what a process can no longer see after it has restricted itself: call it before. */
void inspect_prepare(void);

/*
 * Looks the command up as execvp would (PATH of this process), follows #! lines and wrappers as far
 * as they are known, and judges the program that would run.  0; -ENOENT: not found; -EACCES and
 * others: cannot be executed.  `reason`: one clause, empty for INSPECT_FINE, for example "/bin/x is
 * statically linked: the library cannot be loaded into it; it runs, but upgrades are not possible";
 * on an error it names the file.  A set-uid or set-gid file is INSPECT_SECURE only if it would
 * change our uid or gid.
 */
int inspect_command(
        char *const command[], enum inspect_verdict *ret_verdict, char *reason, size_t size);

/*
 * The same for a chain (`error`: from chain_new()).  *ret_step: the index of the step that the
 * reason is about.
 */
int inspect_chain(const struct chain *chain, int error, enum inspect_verdict *ret_verdict,
        char *reason, size_t size, size_t *ret_step);
