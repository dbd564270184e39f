/* SPDX-License-Identifier: MIT */
/* System calls that a seccomp filter of the daemon's own denies: the filter is run here. */
#include "shim/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "shim/member.h"
#include "shim/member_slot.h"
#include "shim/raw.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/*
 * GET_SEALS is the number of no system call: it stands for fcntl(F_GET_SEALS), which only the
 * library's start makes.
 */
enum { CALLS = 512, BITS = 64, GET_SEALS = CALLS - 1 };

/*
 * What the filters of this process deny.  Each filter binds some threads; this is the sum of all,
 * and only grows.  A new thread or process inherits its maker's filters.  A forked child finds in
 * its copy of our memory what its thread is.  A new thread finds UNASKED, and asks the kernel when
 * it first matters.
 */
static _Atomic uint64_t denied[CALLS / BITS];
static _Atomic bool process_is_in; /* for all threads: SECCOMP_FILTER_FLAG_TSYNC */
static __thread enum { UNASKED, OUTSIDE, INSIDE, STRICT } thread;
_Atomic bool raw_is_checked;

static bool is_denied(long number)
{
	return (unsigned long)number < CALLS &&
	       atomic_load_explicit(&denied[number / BITS], memory_order_relaxed) >>
	                       (number % BITS) &
	               1;
}

/*
 * Does a filter bind this thread?  If a filter denies the question (prctl), a thread that is not
 * known to be outside counts as inside.
 *
 * raw() asks sandbox_denies(), which comes here and asks member_is_borrowed(), which calls
 * raw(SYS_getpid).  This circle ends because `thread` is set before the call.  Without the circle,
 * this file would need a second way to find the pid, with its own look at the filter.
 */
static bool is_inside(void)
{
	if (thread != UNASKED)
		return thread == INSIDE;
	bool inside =
	        is_denied(SYS_prctl) || raw_kernel(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0, 0) > 0;
	thread = INSIDE; /* for the calls that member_is_borrowed() makes */
	bool borrowed = inside && member_is_borrowed();
	thread = borrowed ? UNASKED : inside ? INSIDE : OUTSIDE;
	return inside;
}

bool sandbox_denies(long number)
{
	if (thread == STRICT)
		return number != SYS_read && number != SYS_write && number != SYS_exit;
	return is_denied(number) &&
	       (atomic_load_explicit(&process_is_in, memory_order_relaxed) || is_inside());
}

bool sandbox_denies_joining(void)
{
	static const short needed[] = {SYS_getpid, SYS_socket, SYS_setsockopt, SYS_connect,
	        SYS_sendmsg, SYS_recvmsg, SYS_close, SYS_mmap, SYS_madvise, SYS_fcntl, GET_SEALS,
	        SYS_fstat, SYS_getsockopt};
	if (!atomic_load_explicit(&raw_is_checked, memory_order_relaxed))
		return false;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (sandbox_denies(needed[i]))
			return true;
	return false;
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
	case BPF_DIV: return a / b;
	case BPF_OR: return a | b;
	case BPF_AND: return a & b;
	case BPF_XOR: return a ^ b;
	case BPF_LSH: return a << (b & 31); /* as the kernel's filters do */
	case BPF_RSH: return a >> (b & 31);
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

/* The filter may read one half of a 64-bit argument. */
typedef uint32_t __attribute__((may_alias)) aliasing_word;

static uint32_t word_at(const struct seccomp_data *data, uint32_t offset)
{
	const aliasing_word *words = (const void *)data;
	return offset / 4 < sizeof(*data) / 4 ? words[offset / 4] : 0;
}

/* What the filter returns.  Jumps only go forward, so every filter ends. */
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
		case BPF_ALU:
			if (BPF_OP(step->code) == BPF_DIV && !operand)
				return SECCOMP_RET_KILL_THREAD; /* 0, as in the kernel */
			a = calculate(BPF_OP(step->code), a, operand);
			break;
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

/* ---- what a filter says to the library's calls ---- */

/*
 * The call with the arguments that the library uses, as far as filters look at arguments.
 * `command` is that of fcntl().
 */
static struct seccomp_data call_of_ours(long number, int command)
{
	struct seccomp_data data = {.nr = (int)number, .arch = ARCHITECTURE};
	if (number == GET_SEALS) {
		data.nr = SYS_fcntl;
		data.args[1] = F_GET_SEALS;
	} else if (number == SYS_socket) {
		data.args[0] = AF_UNIX;
		data.args[1] = SOCK_SEQPACKET | SOCK_CLOEXEC;
	} else if (number == SYS_setsockopt) {
		data.args[1] = SOL_SOCKET;
		data.args[2] = SO_RCVTIMEO;
	} else if (number == SYS_getsockopt) {
		data.args[1] = SOL_SOCKET;
		data.args[2] = SO_TYPE;
	} else if (number == SYS_prctl)
		data.args[0] = PR_GET_SECCOMP;
	else if (number == SYS_fcntl)
		data.args[1] = (uint64_t)command;
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

static bool is_allowed(const struct sock_fprog *program, long number)
{
	static const int commands[] = {F_GETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC};
	size_t count = number == SYS_fcntl ? sizeof(commands) / sizeof(commands[0]) : 1;
	for (size_t i = 0; i < count; i++) {
		struct seccomp_data data = call_of_ours(number, commands[i]);
		if (!is_allowing(run(program, &data)))
			return false;
	}
	return true;
}

bool sandbox_concerns_us(void)
{
	if (!member_board || member_is_borrowed())
		return false;
	member_prepare();
	return true;
}

void sandbox_entered(const void *program, bool all_threads)
{
	for (long number = 0; number < CALLS; number++)
		if (!is_allowed(program, number))
			deny(number);
	if (thread != STRICT)
		thread = INSIDE;
	if (all_threads)
		atomic_store(&process_is_in, true);
	atomic_store(&raw_is_checked, true);
}

void sandbox_entered_strictly(void)
{
	thread = STRICT;
	atomic_store(&raw_is_checked, true);
}
