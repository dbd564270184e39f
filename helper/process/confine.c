/* SPDX-License-Identifier: MIT */
/* What a child of the launcher gives up. */
#include "helper/process/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/base/util.h"
#include "helper/kernel/permitted.h"

bool confine_capabilities(uint32_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};
	if (syscall(SYS_capget, &header, sets) < 0)
		return false;
	bool changes = false;
	for (size_t i = 0; i < COUNT(sets); i++) {
		uint32_t left = i == 0 ? sets[i].permitted & kept : 0;
		changes = changes || sets[i].permitted != left || sets[i].effective != left ||
		          sets[i].inheritable;
		sets[i].permitted = sets[i].effective = left;
		sets[i].inheritable = 0;
	}
	/* Where a sandbox kills for capset(), there is mostly nothing to do. */
	return !changes || (permitted(PERMITTED_CAPSET) && syscall(SYS_capset, &header, sets) == 0);
}

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef OUR_ARCHITECTURE

enum { CODE_MOST = 512 };
enum { NUMBER = offsetof(struct seccomp_data, nr), RET = BPF_RET | BPF_K };
enum { JUMP = BPF_JMP | BPF_JEQ | BPF_K, LOAD = BPF_LD | BPF_W | BPF_ABS };

static size_t add_open(struct sock_filter *code, const struct confine_open *open)
{
	/* The lower half of the argument, on a little-endian machine. */
	unsigned how = offsetof(struct seccomp_data, args) + 8 * open->argument;
	const struct sock_filter part[] = {
	        BPF_JUMP(JUMP, open->number, 0, 5),
	        BPF_STMT(LOAD, how),
	        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, O_ACCMODE | O_CREAT | O_TRUNC),
	        BPF_JUMP(JUMP, O_RDONLY, 0, 1),
	        BPF_STMT(RET, SECCOMP_RET_ALLOW),
	        BPF_STMT(LOAD, NUMBER),
	};
	for (size_t i = 0; i < COUNT(part); i++)
		code[i] = part[i];
	return COUNT(part);
}

void confine_calls(const unsigned short *calls, size_t count, const struct confine_open *opens,
        size_t open_count, int error)
{
	struct sock_filter code[CODE_MOST];
	struct sock_fprog program = {.filter = code};
	size_t n = 0;
	if (IS_SANITISED || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	        5 + 2 * count + 6 * open_count > COUNT(code))
		return;
	code[n++] = (struct sock_filter)BPF_STMT(LOAD, offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(JUMP, OUR_ARCHITECTURE, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(RET, SECCOMP_RET_KILL_PROCESS);
	code[n++] = (struct sock_filter)BPF_STMT(LOAD, NUMBER);
	for (size_t i = 0; i < count; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(JUMP, calls[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(RET, SECCOMP_RET_ALLOW);
	}
	for (size_t i = 0; i < open_count; i++)
		n += add_open(code + n, &opens[i]);
	code[n++] = (struct sock_filter)BPF_STMT(RET, SECCOMP_RET_ERRNO | (unsigned)error);
	program.len = (unsigned short)n;
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#else

void confine_calls(const unsigned short *calls, size_t count, const struct confine_open *opens,
        size_t open_count, int error)
{
	(void)calls;
	(void)count;
	(void)opens;
	(void)open_count;
	(void)error;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

#endif

static void (*unmap_shared)(void);

void confine_register_memory(void (*unmap)(void))
{
	unmap_shared = unmap;
}

void confine_leave_memory(void)
{
	if (unmap_shared)
		unmap_shared();
}
