/* SPDX-License-Identifier: MIT */
/* System calls that the daemon has forbidden itself: a seccomp filter, run here. */
#include "shim/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/member.h"
#include "shim/raw.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

enum { CALLS = 512, BITS = 64 };

/*
 * What any filter of this process denies; only ever more.  Filters belong to threads, and a new
 * thread or process has its maker's: one that the first thread has is said to be everybody's.
 */
static _Atomic uint64_t denied[CALLS / BITS];
static _Atomic bool process_is_in;
static __thread bool thread_is_in;
_Atomic bool raw_is_checked;

bool sandbox_denies(long number)
{
	return (thread_is_in || atomic_load_explicit(&process_is_in, memory_order_relaxed)) &&
	       (unsigned long)number < CALLS &&
	       atomic_load_explicit(&denied[number / BITS], memory_order_relaxed) >>
	                       (number % BITS) &
	               1;
}

static void deny(long number)
{
	atomic_fetch_or(&denied[number / BITS], UINT64_C(1) << (number % BITS));
}

/* ---- classic BPF, as far as the kernel lets it be used here ---- */

static uint32_t calculate(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_ADD: return a + b;
	case BPF_SUB: return a - b;
	case BPF_MUL: return a * b;
	case BPF_DIV: return b ? a / b : 0;
	case BPF_OR: return a | b;
	case BPF_AND: return a & b;
	case BPF_XOR: return a ^ b;
	case BPF_LSH: return b < 32 ? a << b : 0;
	case BPF_RSH: return b < 32 ? a >> b : 0;
	default: return -a; /* BPF_NEG */
	}
}

static bool holds(uint16_t comparison, uint32_t a, uint32_t b)
{
	switch (comparison) {
	case BPF_JEQ: return a == b;
	case BPF_JGT: return a > b;
	case BPF_JGE: return a >= b;
	default: return a & b; /* BPF_JSET */
	}
}

static uint32_t word_at(const struct seccomp_data *data, uint32_t offset)
{
	const uint32_t *words = (const void *)data;
	return offset / 4 < sizeof(*data) / 4 ? words[offset / 4] : 0;
}

/* What the filter returns; jumps lead forward only, so it ends. */
static uint32_t run(const struct sock_fprog *program, const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
	for (unsigned at = 0; at < program->len; at++) {
		const struct sock_filter *step = &program->filter[at];
		uint32_t k = step->k, *cell = &memory[k % BPF_MEMWORDS];
		uint32_t operand = BPF_SRC(step->code) == BPF_X ? x : k;
		switch (BPF_CLASS(step->code)) {
		case BPF_LD:
			a = BPF_MODE(step->code) == BPF_ABS   ? word_at(data, k)
			    : BPF_MODE(step->code) == BPF_MEM ? *cell
			    : BPF_MODE(step->code) == BPF_LEN ? sizeof(*data)
			                                      : k;
			break;
		case BPF_LDX:
			x = BPF_MODE(step->code) == BPF_MEM   ? *cell
			    : BPF_MODE(step->code) == BPF_LEN ? sizeof(*data)
			                                      : k;
			break;
		case BPF_ST: *cell = a; break;
		case BPF_STX: *cell = x; break;
		case BPF_ALU: a = calculate(BPF_OP(step->code), a, operand); break;
		case BPF_JMP:
			if (BPF_OP(step->code) == BPF_JA)
				at += k;
			else
				at += holds(BPF_OP(step->code), a, operand) ? step->jt : step->jf;
			break;
		case BPF_RET: return BPF_RVAL(step->code) == BPF_A ? a : k;
		default: /* BPF_MISC */
			if (BPF_MISCOP(step->code) == BPF_TAX)
				x = a;
			else
				a = x;
		}
	}
	return SECCOMP_RET_ALLOW;
}

/* ---- */

/* With the arguments that we make it with, where filters look at them. */
static struct seccomp_data call_of_ours(long number)
{
	struct seccomp_data data = {.nr = (int)number, .arch = ARCHITECTURE};
	if (number == SYS_socket) {
		data.args[0] = AF_UNIX;
		data.args[1] = SOCK_SEQPACKET | SOCK_CLOEXEC;
	} else if (number == SYS_fcntl)
		data.args[1] = 1; /* F_GETFD */
	else if (number == SYS_futex)
		data.args[1] = FUTEX_WAIT;
	return data;
}

static bool is_allowing(uint32_t answer)
{
	switch (answer & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF: return true;
	default: return false;
	}
}

static void enter(bool of_process)
{
	thread_is_in = true;
	if (of_process)
		atomic_store(&process_is_in, true);
	atomic_store(&raw_is_checked, true);
}

bool sandbox_is_of_process(void)
{
	return member_page && raw(SYS_gettid) == member_pid();
}

void sandbox_entered(const void *program, bool of_process)
{
	if (!member_page)
		return;
	for (long number = 0; number < CALLS; number++) {
		struct seccomp_data data = call_of_ours(number);
		if (!is_allowing(run(program, &data)))
			deny(number);
	}
	enter(of_process);
}

void sandbox_entered_strictly(bool of_process)
{
	if (!member_page)
		return;
	for (long number = 0; number < CALLS; number++)
		if (number != SYS_read && number != SYS_write && number != SYS_exit)
			deny(number);
	enter(of_process);
}
