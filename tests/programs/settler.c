/* SPDX-License-Identifier: MIT */
/*
 * Tests how the threads of a process bring their epoll entries in line with the gates
 * (shim/interest_settle.c), without the rest of the library.
 *
 *   settler model SEED COUNT   COUNT random schedules.  The threads are coroutines, and the kernel
 *                              is a model with one entry.  Another coroutine may run at each access
 *                              to shared memory and at each call of the kernel.
 *   settler lockstep THREADS   The schedule with the most interference: the threads take turns.
 *   settler threads THREADS ROUNDS
 *                              Real threads and real epoll instances, while gates open and close.
 *   settler sleep              Waits that never return.
 *
 * The first three count the kernel calls of each operation.  An operation may make a few calls more
 * for each change of a gate and each request that comes meanwhile.  In the end the kernel must have
 * the wanted entry.
 */
#include <stdatomic.h>

/* Called at each access to shared memory: the scheduler may switch to another coroutine. */
static void step(void);

#undef atomic_load
#undef atomic_store
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load(where) (step(), atomic_load_explicit(where, memory_order_seq_cst))
#define atomic_store(where, value) \
	(step(), atomic_store_explicit(where, value, memory_order_seq_cst))
#define atomic_fetch_add(where, value) \
	(step(), atomic_fetch_add_explicit(where, value, memory_order_seq_cst))
#define atomic_fetch_sub(where, value) \
	(step(), atomic_fetch_sub_explicit(where, value, memory_order_seq_cst))
#define atomic_exchange(where, value) \
	(step(), atomic_exchange_explicit(where, value, memory_order_seq_cst))
#define atomic_compare_exchange_strong(where, expected, value) \
	(step(), atomic_compare_exchange_strong_explicit(      \
	                 where, expected, value, memory_order_seq_cst, memory_order_seq_cst))
#define atomic_compare_exchange_weak atomic_compare_exchange_strong

#include "shim/raw.h"

static long kernel_call(long number, long a, long b, long c, long d, long e, long f);
#undef RAW_6
#define RAW_6(n, a, b, c, d, e, f, ...) \
	kernel_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#include "shim/interest.c"
#include "shim/interest_record.c"
#include "shim/interest_settle.c"
#include "shim/interest_sleep.c"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <ucontext.h>
#include <unistd.h>

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "settler: %s\n", what);
	exit(1);
}

/* ---- stand-ins for the rest of the library ---- */

const struct moult_board *member_board;
struct moult_tally *member_tally;
_Atomic uint32_t gate_edition;
_Atomic uint16_t fd_table[FD_TABLE];
_Atomic int fd_table_end;
_Atomic bool raw_is_checked;
struct real real;

bool interest_discover_sleepers(int epoll, int fd)
{
	(void)epoll;
	(void)fd;
	return false; /* no epoll here has a second number */
}

bool sandbox_denies(long number)
{
	(void)number;
	return false;
}

bool member_is_borrowed(void)
{
	return false;
}

pid_t member_pid(void)
{
	return 1;
}

void fd_set_kind(int fd, unsigned kind)
{
	(void)fd;
	(void)kind;
}

static int by_libc(int epoll, int operation, int fd, struct epoll_event *event)
{
	long result = kernel_call(SYS_epoll_ctl, epoll, operation, fd, (long)event, 0, 0);
	return result < 0 ? fail((int)-result) : 0;
}

/* ---- coroutines, in a random order or in turns ---- */

enum { EPOLL = 3, FD = 4, COROUTINES = 64, STACK = 65536 };

static bool is_model, in_turns; /* else: real threads; and: a random order */
static ucontext_t scheduler, contexts[COROUTINES];
static char stacks[COROUTINES][STACK];
static bool is_over[COROUTINES];
static int running = -1;
static unsigned seed;

static unsigned any(unsigned below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static void step(void)
{
	if (is_model && running >= 0 && (in_turns || any(3) == 0))
		swapcontext(&contexts[running], &scheduler);
}

/* ---- the kernel: a real one, or one entry of an epoll ---- */

static bool entry_is_there;
static struct epoll_event entry;
static unsigned calls_of[COROUTINES]; /* of each one's operation under way */
static __thread unsigned calls;       /* the same of real threads */

static long entry_ctl(int operation, const struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD && entry_is_there)
		return -EEXIST;
	if (operation != EPOLL_CTL_ADD && !entry_is_there)
		return -ENOENT;
	if (operation == EPOLL_CTL_MOD && ((entry.events | event->events) & EPOLLEXCLUSIVE))
		return -EINVAL;
	entry_is_there = operation != EPOLL_CTL_DEL;
	if (entry_is_there)
		entry = *event;
	return 0;
}

static long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
	if (number != SYS_epoll_ctl)
		return raw_kernel(number, a, b, c, d, e, f);
	if (!is_model) {
		calls++;
		return raw_kernel(number, a, b, c, d, e, f);
	}
	step();
	if (running >= 0)
		calls_of[running]++;
	long result = entry_ctl((int)b, (const void *)d);
	step();
	return result;
}

/* ---- operations ---- */

/* Requests begun and gates changed: an operation may have to start again for each. */
static unsigned changes;

enum {
	CALLS_MOST = 4,   /* in one round: ADD, MOD, DEL, ADD */
	ROUNDS_FIRST = 4, /* for the request itself, for one more, and two after the last change */
	ROUNDS_PER_CHANGE = 3,
};

static void check_calls(unsigned made, unsigned changed)
{
	unsigned most = CALLS_MOST * (ROUNDS_FIRST + ROUNDS_PER_CHANGE * changed);
	if (made <= most)
		return;
	fprintf(stderr, "settler: %u calls of the kernel, while %u things changed\n", made,
	        changed);
	exit(1);
}

/* The board as the launcher writes it; a daemon only reads it. */
static struct moult_board page;

static void set_gate(int listener, uint32_t word)
{
	atomic_store_explicit(&page.gate[listener].word, word, memory_order_seq_cst);
	__atomic_fetch_add(&changes, 1, __ATOMIC_SEQ_CST);
}

static const uint32_t words[] = {
        MOULT_GATE_OPEN,
        MOULT_GATE_DRAINING,
        MOULT_GATE_OPEN | MOULT_GATE_CROWDED,
        MOULT_GATE_WARMING,
};

static void operate(unsigned kind, int epoll, int fd, uint32_t number, uint32_t flags)
{
	struct epoll_event event = {.events = EPOLLIN | flags, .data.u64 = number};
	if (kind != 0)
		__atomic_fetch_add(&changes, 1, __ATOMIC_SEQ_CST);
	switch (kind) {
	case 0: interest_settle(); break;
	case 1: interest_ctl(epoll, EPOLL_CTL_ADD, fd, &event, 0); break;
	case 2: interest_ctl(epoll, EPOLL_CTL_DEL, fd, NULL, 0); break;
	default: interest_ctl(epoll, EPOLL_CTL_MOD, fd, &event, 0);
	}
}

static uint32_t exclusive;
static bool only_settles;

static void live(void)
{
	int me = running;
	for (int i = 0; i < 3; i++) {
		unsigned before = changes;
		calls_of[me] = 0;
		if (only_settles)
			interest_settle();
		else if (any(5) == 0)
			set_gate(0, words[any(4)]);
		else
			operate(any(4), EPOLL, FD, any(1000), any(2) ? exclusive : 0);
		check_calls(calls_of[me], changes - before);
	}
	is_over[me] = true;
}

/* The kernel must have what the record wants at this gate; no thread is at work any more. */
static void check_entry(void)
{
	struct interest *record = record_find(EPOLL, FD);
	require(record, "there is no record");
	struct aim aim = aim_of(record);
	uint32_t is = record_held(record);
	require(is_enough(is, aim.goal) || (is == HELD_UNSURE && aim.goal == HELD_NOT),
	        "the record is not settled");
	require(entry_is_there == (aim.goal != HELD_NOT), "the kernel has it, or has it not");
	if (aim.goal == HELD_SHARED) /* an entry from before the gate was crowded may stay */
		aim.event.events |= entry.events & EPOLLEXCLUSIVE;
	require(!entry_is_there || is_same(&entry, &aim.event), "the kernel has another event");
	record_release(record);
	require(atomic_load(&record->actors) == 0, "somebody holds the record");
}

static void run(int count)
{
	unsigned others = (unsigned)count;
	static unsigned next;
	for (int i = 0; i < count; i++) {
		is_over[i] = false;
		getcontext(&contexts[i]);
		contexts[i].uc_stack.ss_sp = stacks[i];
		contexts[i].uc_stack.ss_size = STACK;
		contexts[i].uc_link = &scheduler;
		makecontext(&contexts[i], live, 0);
	}
	for (unsigned long steps = 0; others; steps++) {
		require(steps < 1000000, "nobody finishes");
		next = in_turns ? (next + 1) % (unsigned)count : any((unsigned)count);
		if (is_over[next])
			continue;
		running = (int)next;
		swapcontext(&scheduler, &contexts[next]);
		others -= is_over[next];
	}
	running = -1;
}

/* Starts with one entry, which the kernel has. */
static void start(void)
{
	memset(records, 0, sizeof(records[0]));
	entry_is_there = false;
	set_gate(0, MOULT_GATE_OPEN);
	operate(1, EPOLL, FD, 0, exclusive);
	require(entry_is_there, "EPOLL_CTL_ADD");
}

static void model(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		seed = first + i;
		exclusive = any(2) ? EPOLLEXCLUSIVE : 0;
		start();
		run(2 + (int)any(any(8) ? 4 : COROUTINES - 1));
		interest_settle();
		check_entry();
	}
}

static void lockstep(int count)
{
	in_turns = only_settles = true;
	for (unsigned i = 0; i < 2 * sizeof(words) / sizeof(words[0]); i++) {
		exclusive = i % 2 ? EPOLLEXCLUSIVE : 0;
		start();
		set_gate(0, words[i / 2]);
		run(count);
		check_entry();
	}
}

/* ---- real threads ---- */

enum { PAIRS = 4 };
static int epolls[PAIRS], fds[PAIRS];
static unsigned rounds;

static void *work(void *unused)
{
	(void)unused;
	unsigned mine = (unsigned)gettid();
	for (unsigned i = 0; i < rounds; i++) {
		unsigned pair = rand_r(&mine) % PAIRS;
		unsigned before = __atomic_load_n(&changes, __ATOMIC_SEQ_CST);
		calls = 0;
		/* Most operations settle, because those interfere with each other. */
		operate(rand_r(&mine) % 64 < 60 ? 0 : 1 + rand_r(&mine) % 3, epolls[pair],
		        fds[pair], i, 0);
		unsigned changed = __atomic_load_n(&changes, __ATOMIC_SEQ_CST) - before;
		check_calls(calls / PAIRS, changed);
	}
	return NULL;
}

static _Atomic bool flips;

static void *flip(void *unused)
{
	(void)unused;
	for (unsigned i = 0; flips; i++) {
		set_gate(0, words[i % 4]);
		usleep(200);
	}
	return NULL;
}

static void check_pair(int epoll, int fd)
{
	struct interest *record = record_find(epoll, fd);
	require(record, "there is no record");
	struct epoll_event event = {.events = EPOLLIN};
	long result = raw_kernel(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, (long)&event, 0, 0);
	require((result == -EEXIST) == (aim_of(record).goal != HELD_NOT),
	        "the kernel has it, or has it not");
	record_release(record);
	require(atomic_load(&record->actors) == 0, "somebody holds the record");
}

static void threads(int count)
{
	pthread_t flipper, workers[COROUTINES];
	set_gate(0, MOULT_GATE_OPEN);
	for (int i = 0; i < PAIRS; i++) {
		epolls[i] = epoll_create1(EPOLL_CLOEXEC);
		fds[i] = eventfd(0, EFD_CLOEXEC);
		operate(1, epolls[i], fds[i], 0, 0);
	}
	flips = true;
	require(pthread_create(&flipper, NULL, flip, NULL) == 0, "pthread_create");
	for (int i = 0; i < count; i++)
		require(pthread_create(&workers[i], NULL, work, NULL) == 0, "pthread_create");
	for (int i = 0; i < count; i++)
		pthread_join(workers[i], NULL);
	flips = false;
	pthread_join(flipper, NULL);
	interest_settle();
	for (int i = 0; i < PAIRS; i++)
		check_pair(epolls[i], fds[i]);
}

/* ---- threads that sleep in epoll_wait() ---- */

/* As on a single stack: a lower address is deeper. */
bool gate_is_abandoned(uintptr_t older, uintptr_t frame)
{
	return older <= frame;
}

static void check_sleepers(unsigned count, const char *what)
{
	require(atomic_load(&sleepers[EPOLL]) == count, what);
}

static void sleep_and_never_return(void)
{
	interest_sleep_begins(EPOLL, 1000);
	interest_sleep_begins(EPOLL, 900); /* in a signal handler */
	check_sleepers(2, "both sleep");
	interest_sleep_ends(EPOLL, 900);
	interest_sleep_ends(EPOLL, 1000);
	check_sleepers(0, "both are back");
	interest_sleep_begins(EPOLL, 1000); /* does not return: cancelled, or left by a jump */
	interest_sleep_begins(EPOLL, 1000);
	check_sleepers(1, "one has been left");
	interest_sleep_ends(EPOLL, 1000);
	check_sleepers(0, "nobody sleeps any more");
	interest_sleep_begins(EPOLL, 1000);
	interest_sleep_begins(SLEEPERS, 1100);
	check_sleepers(0, "one that waits elsewhere does not sleep here");
}

int main(int count, char **arguments)
{
	static struct moult_tally tally;
	const char *what = count > 2 ? arguments[1] : "";
	int number = count > 2 ? atoi(arguments[2]) : 0;
	member_board = &page;
	member_tally = &tally;
	real.epoll_ctl = by_libc;
	atomic_store(&page.listeners, 1);
	is_model = strcmp(what, "threads");
	if (count == 2 && !strcmp(arguments[1], "sleep")) {
		sleep_and_never_return();
		puts("settled");
		return 0;
	}
	if (count == 4 && !strcmp(what, "model"))
		model((unsigned)number, (unsigned)atoi(arguments[3]));
	else if (count == 3 && !strcmp(what, "lockstep") && number <= COROUTINES)
		lockstep(number);
	else if (count == 4 && !is_model && number <= COROUTINES) {
		rounds = (unsigned)atoi(arguments[3]);
		threads(number);
	} else
		require(false, "usage: model SEED COUNT | lockstep THREADS | threads THREADS "
		               "ROUNDS | sleep");
	puts("settled");
	return 0;
}
