/* SPDX-License-Identifier: MIT */
/* Memory for one call. */
#include "shim/scratch.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "shim/gate.h"
#include "shim/member.h"
#include "shim/raw.h"

/* Touched by the thread, its signal handlers and its vfork children alone. */
static __thread struct {
	uintptr_t frame; /* of the call that has it; 0: none */
	void *memory;
	uint32_t pages;
	pid_t pid; /* of the process whose call that is */
} kept;

enum { PAGE = 4096 };

static void *map(size_t size)
{
	long memory = raw(
	        SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory < 0 && memory > -4096 ? NULL : (void *)memory;
}

static void thread_ends(void)
{
	void *memory = kept.memory;
	size_t size = (size_t)kept.pages * PAGE;
	/* Forgotten first: whoever interrupts us and never returns leaves it mapped, and unused. */
	kept.pages = 0;
	kept.memory = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	if (memory)
		raw(SYS_munmap, memory, size);
}

/*
 * Is the call gone that had it?  So it is when it was a vfork child's, or when this process is the
 * fork of the one that made it; else the frames tell (gate_is_abandoned).
 */
static bool is_left(uintptr_t frame, pid_t pid)
{
	if (kept.pid != pid && (kept.pid != member_pid() || !member_is_borrowed()))
		return true;
	return gate_is_abandoned(kept.frame, frame);
}

/* Grows by doubling.  `free`: nobody has it for certain, and the old one can go. */
static bool keep(size_t size, bool free)
{
	size_t pages = 1;
	while (pages * PAGE < size)
		pages *= 2;
	if (kept.pages >= pages)
		return true;
	if (free)
		thread_ends();
	void *memory = map(pages * PAGE);
	if (!memory)
		return false;
	/* At no moment is the size more than what is there. */
	kept.pages = 0;
	atomic_signal_fence(memory_order_seq_cst);
	kept.memory = memory;
	atomic_signal_fence(memory_order_seq_cst);
	kept.pages = (uint32_t)pages;
	gate_watch_thread(thread_ends);
	return true;
}

void *scratch_take(struct scratch *scratch, size_t size)
{
	uintptr_t frame = GATE_FRAME;
	scratch->mapped = 0;
	scratch->is_kept = false;
	scratch->memory = scratch->small;
	if (size <= sizeof(scratch->small))
		return scratch->memory;
	pid_t pid = (pid_t)raw(SYS_getpid);
	bool free = !kept.frame;
	if (free || is_left(frame, pid)) {
		kept.pid = pid;
		atomic_signal_fence(memory_order_seq_cst);
		kept.frame = frame; /* from here on a handler sees that it is taken */
		atomic_signal_fence(memory_order_seq_cst);
		scratch->is_kept = keep(size, free);
		if (scratch->is_kept)
			return scratch->memory = kept.memory;
		kept.frame = 0;
		return scratch->memory = NULL;
	}
	scratch->memory = map(size);
	scratch->mapped = scratch->memory ? size : 0;
	return scratch->memory;
}

void scratch_give(struct scratch *scratch)
{
	if (scratch->mapped)
		raw(SYS_munmap, scratch->memory, scratch->mapped);
	else if (scratch->is_kept)
		kept.frame = 0;
}
