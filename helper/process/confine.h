/* SPDX-License-Identifier: MIT */
/*
 * What a child of the launcher gives up because its work does not need it.
 *
 * Each step is a fence of its own.  Where a kernel does not have one, or a container's filter forbids
 * it, the others stand.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Is a sanitiser's runtime in this process?  It needs more memory, more address space and more
 * system calls than the program, so these stay unlimited.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITISED = true };
#elif defined(__has_feature)
enum { IS_SANITISED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { IS_SANITISED = false };
#endif

/*
 * Of the capabilities this process has it keeps those (bits of the first 32, CAP_KILL and the like).
 * The inheritable ones go, too.  False: they stay as they were.
 */
bool confine_capabilities(uint32_t kept);

/*
 * What the launcher shares with the daemon and with keepers, a confined child has no business with.
 * confine_register_memory(): once, by the launcher, what unmaps it; confine_leave_memory(): in a child.
 */
void confine_register_memory(void (*unmap)(void));
void confine_leave_memory(void);

/* Which of a system call's arguments has the flags of open(): only O_RDONLY passes. */
struct confine_open {
	unsigned short number;
	unsigned char argument;
};

/*
 * From now on this process makes these system calls, and all else fails with `error`.  No new
 * privileges come by exec.  Without effect with a sanitiser's runtime in the process, which needs
 * more.
 */
void confine_calls(const unsigned short *calls, size_t count, const struct confine_open *opens,
        size_t open_count, int error);
