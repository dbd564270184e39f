/* SPDX-License-Identifier: MIT */
/*
 * Memory for one call, which may run in a signal handler on a small alternate stack, or in a
 * coroutine: a little of it on the stack, more in a mapping.
 *
 * The caller may never return: it may be left by a siglongjmp() or by a cancellation, and in a vfork
 * child by an exec, which leaves the mapping with the parent.  So a thread keeps its mapping for the
 * next call, and a caller that is gone leaves one to be used again.
 */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

enum { SCRATCH_SMALL = 256 };

struct scratch {
	alignas(max_align_t) char small[SCRATCH_SMALL];
	size_t mapped; /* of a mapping of its own */
	void *memory;
	bool is_kept; /* it is the thread's */
};

/* At least `size` bytes; NULL: there are none. */
void *scratch_take(struct scratch *scratch, size_t size);

/* Nothing happens to one that was not, or could not be, taken. */
void scratch_give(struct scratch *scratch);

#define SCRATCH_NONE                                          \
	{                                                     \
		.mapped = 0, .memory = NULL, .is_kept = false \
	}
