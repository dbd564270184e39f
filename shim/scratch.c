/* SPDX-License-Identifier: MIT */
/* Memory for one call of a hook. */
#include "shim/scratch.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "shim/gate.h"
#include "shim/member.h"
#include "shim/raw.h"

/* A thread's kept mapping.  Only the thread, its signal handlers and vfork children use this. */
static __thread struct {
	uintptr_t frame; /* of the scratch_take() whose caller has the mapping; 0: nobody has it */
	void *memory;
	uint32_t pages;
	pid_t pid; /* of the process that made this call */
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
	/*
	 * The fields are cleared before munmap(): a signal handler that interrupts here and never
	 * returns then leaks the mapping, but no field points to unmapped memory.
	 */
	kept.pages = 0;
	kept.memory = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	if (memory)
		raw(SYS_munmap, memory, size);
}

/*
 * Is the caller gone that has the mapping?  It is gone if it was in a vfork child of this process,
 * or if this process was forked after the call.  Otherwise the caller ran on this stack, in this
 * process or in its vfork parent, and gate_is_abandoned() compares the frames.
 */
static bool is_left(uintptr_t frame, pid_t pid)
{
	if (kept.pid != pid && (kept.pid != member_pid() || !member_is_borrowed()))
		return true;
	return gate_is_abandoned(kept.frame, frame);
}

/*
 * Makes the kept mapping at least `size` bytes large, in powers of two pages.  `free`: certainly
 * nobody has the old mapping, so it is unmapped.  Otherwise the old mapping leaks.
 */
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
	/* In this order `pages` never exceeds the mapping, not even for a signal handler. */
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
		kept.frame = frame; /* from here on a handler sees that the mapping is taken */
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
