/* SPDX-License-Identifier: MIT */
/* This process's membership of a generation. */
#include "shim/member.h"

#include <linux/kcmp.h>

#include "shim/raw.h"

const struct moult_board *member_board;
struct moult_tally *member_tally;
struct member_own *member_own;

pid_t member_pid(void)
{
	uint32_t pid = atomic_load_explicit(&member_own->pid, memory_order_relaxed);
	if (!pid) {
		long answer = raw(SYS_getpid);
		if (answer < 0) /* a filter denies getpid() */
			return 0;
		/*
		 * A vfork child may be the first to ask, but the memory is its parent's: so the
		 * parent's pid is kept.
		 */
		long parent = raw(SYS_getppid);
		if (parent > 0 && raw(SYS_kcmp, answer, parent, KCMP_VM, 0, 0) == 0)
			answer = parent;
		pid = (uint32_t)answer;
		atomic_store_explicit(&member_own->pid, pid, memory_order_relaxed);
	}
	return (pid_t)pid;
}

bool member_is_borrowed(void)
{
	long pid = raw(SYS_getpid);
	return pid >= 0 && member_pid() != (pid_t)pid;
}

void member_serves(void)
{
	if (!member_is_borrowed())
		atomic_store_explicit(&member_own->serves, 1, memory_order_relaxed);
}

bool member_has_served(void)
{
	return atomic_load_explicit(&member_own->serves, memory_order_relaxed) &&
	       !member_is_borrowed();
}
