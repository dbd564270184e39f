/* SPDX-License-Identifier: MIT */
/* What can be told about a program from its file: will LD_PRELOAD reach it at all? */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/check/chain.h"

enum inspect_verdict {
	INSPECT_FINE,
	INSPECT_STATIC,  /* no dynamic loader: no preload */
	INSPECT_SECURE,  /* set-uid, set-gid or file capabilities that apply here: the loader
	                      ignores it */
	INSPECT_GO,      /* dynamic or not, makes its own system calls */
	INSPECT_FOREIGN, /* another architecture or class than ours, or not ELF and not a script */
	INSPECT_HIDDEN,  /* in another root, where the library is not */
	INSPECT_ELSEWHERE, /* started by somebody else: not even a process of ours */
	INSPECT_UNKNOWN,   /* the last one: not judged (helper/check/inspection.h) */
};

/* For a process that is about to restrict itself: what that would hide from the judgement. */
void inspect_prepare(void);

/*
 * Looks the command up as execvp would (PATH of this process), follows #! lines and wrappers as far
 * as can be told, and judges the program that would run.  Returns 0; -ENOENT not found; -EACCES
 * etc. cannot be executed.  `reason`: one clause for people, empty when fine: "/bin/x is statically
 * linked: the library cannot be loaded into it; it runs, but upgrades are not possible"; on an error
 * it says whom it is about.  A set-uid file counts as secure only when running it would change our
 * uid.
 */
int inspect_command(
        char *const command[], enum inspect_verdict *ret_verdict, char *reason, size_t size);

/*
 * The same for a chain that has been followed (`error` as of chain_new()).  *ret_step: what the
 * reason is about.
 */
int inspect_chain(const struct chain *chain, int error, enum inspect_verdict *ret_verdict,
        char *reason, size_t size, size_t *ret_step);
