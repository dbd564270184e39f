/* SPDX-License-Identifier: MIT */
/*
 * What a child of the launcher gives up because its work does not need it.
 *
 * Each step works by itself.  If the kernel does not have one, or a container's filter forbids it,
 * the others still count.
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
 * This process keeps only these of its capabilities (bits 0 to 31, such as 1u << CAP_KILL), and no
 * inheritable one.  False: nothing has changed, and it has others.  Where a sandbox kills for the
 * call, nothing is changed: true if it has no others.
 */
bool confine_capabilities(uint32_t kept);

/*
 * Memory that the launcher shares with other processes and that a confined child must not reach.
 * _register: the launcher calls this once; `unmap` unmaps the memory.  _leave: a child calls this,
 * which unmaps it.
 */
void confine_register_memory(void (*unmap)(void));
void confine_leave_memory(void);

/* A system call that opens files, and which of its arguments (from 0) has the flags. */
struct confine_open {
	unsigned short number;
	unsigned char argument;
};

/*
 * From now on this process can make only these system calls, and those of `opens` only with
 * O_RDONLY, without O_CREAT and O_TRUNC.  All others fail with `error`.  Executing a program gives
 * no new privileges.  No effect in a sanitised process.
 */
void confine_calls(const unsigned short *calls, size_t count, const struct confine_open *opens,
        size_t open_count, int error);
