/* SPDX-License-Identifier: MIT */
/*
 * Memory for one call of a hook.  A hook may run in a signal handler on a small alternate stack, or
 * in a coroutine.  So only a small amount is on the stack; a larger amount is in a mapping.
 *
 * The caller may never return.  A siglongjmp() or a thread cancellation may leave the caller, and
 * an exec may leave it in a vfork child, whose parent then has the mapping.  So each thread keeps
 * its mapping for the next call, and takes the mapping back from a caller that is gone.
 */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

enum { SCRATCH_SMALL = 256 };

struct scratch {
	alignas(max_align_t) char small[SCRATCH_SMALL];
	size_t mapped; /* size of a mapping for this call alone; 0: none */
	void *memory;
	bool is_kept; /* `memory` is the mapping that the thread keeps */
};

/* Returns at least `size` bytes, or NULL if there is no memory. */
void *scratch_take(struct scratch *scratch, size_t size);

/* No-op for SCRATCH_NONE, and after a scratch_take() that returned NULL. */
void scratch_give(struct scratch *scratch);

#define SCRATCH_NONE                                          \
	{                                                     \
		.mapped = 0, .memory = NULL, .is_kept = false \
	}
