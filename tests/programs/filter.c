/* SPDX-License-Identifier: MIT */
/*
 * Tests how the library evaluates seccomp filters (shim/sandbox.c), without the rest of the
 * library.
 *
 *   filter SEED COUNT
 *
 * Makes COUNT random filters from SEED, of all instructions that the kernel accepts, installs each
 * in a child and compares the kernel's answer with the library's.  Then tests which threads and
 * processes the library takes to be bound by a filter, and which filters forbid the library's
 * start.
 */
#include "shim/sandbox.c"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

const struct moult_board *member_board;
static bool borrowed;

bool member_is_borrowed(void)
{
	return borrowed;
}

void member_prepare(void)
{
}

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

/* ---- what a filter answers ---- */

enum { BODY = 40, MOST = 2 * BPF_MEMWORDS + BODY + 4 };

static const uint16_t codes[] = {
        BPF_LD | BPF_IMM,
        BPF_LD | BPF_MEM,
        BPF_LD | BPF_W | BPF_LEN,
        BPF_LD | BPF_W | BPF_ABS,
        BPF_LDX | BPF_IMM,
        BPF_LDX | BPF_MEM,
        BPF_LDX | BPF_W | BPF_LEN,
        BPF_ST,
        BPF_STX,
        BPF_MISC | BPF_TAX,
        BPF_MISC | BPF_TXA,
        BPF_ALU | BPF_NEG,
        BPF_ALU | BPF_ADD | BPF_K,
        BPF_ALU | BPF_ADD | BPF_X,
        BPF_ALU | BPF_SUB | BPF_K,
        BPF_ALU | BPF_SUB | BPF_X,
        BPF_ALU | BPF_MUL | BPF_K,
        BPF_ALU | BPF_MUL | BPF_X,
        BPF_ALU | BPF_DIV | BPF_K,
        BPF_ALU | BPF_DIV | BPF_X,
        BPF_ALU | BPF_AND | BPF_K,
        BPF_ALU | BPF_AND | BPF_X,
        BPF_ALU | BPF_OR | BPF_K,
        BPF_ALU | BPF_OR | BPF_X,
        BPF_ALU | BPF_XOR | BPF_K,
        BPF_ALU | BPF_XOR | BPF_X,
        BPF_ALU | BPF_LSH | BPF_K,
        BPF_ALU | BPF_LSH | BPF_X,
        BPF_ALU | BPF_RSH | BPF_K,
        BPF_ALU | BPF_RSH | BPF_X,
        BPF_JMP | BPF_JA,
        BPF_JMP | BPF_JEQ | BPF_K,
        BPF_JMP | BPF_JEQ | BPF_X,
        BPF_JMP | BPF_JGT | BPF_K,
        BPF_JMP | BPF_JGT | BPF_X,
        BPF_JMP | BPF_JGE | BPF_K,
        BPF_JMP | BPF_JGE | BPF_X,
        BPF_JMP | BPF_JSET | BPF_K,
        BPF_JMP | BPF_JSET | BPF_X,
};

static uint32_t number(void)
{
	uint32_t n = (uint32_t)random();
	return n & 1 ? n % 40 : n << 1 ^ (uint32_t)random();
}

static struct sock_filter any_step(size_t left)
{
	struct sock_filter step = {
	        .code = codes[(size_t)random() % (sizeof(codes) / sizeof(*codes))], .k = number()};
	uint16_t class = BPF_CLASS(step.code), operation = BPF_OP(step.code);
	if (step.code == (BPF_LD | BPF_W | BPF_ABS))
		step.k = step.k % (sizeof(struct seccomp_data) / 4) * 4;
	else if (step.code == (BPF_LD | BPF_MEM) || step.code == (BPF_LDX | BPF_MEM) ||
	         class == BPF_ST || class == BPF_STX)
		step.k %= BPF_MEMWORDS;
	else if (step.code == (BPF_ALU | BPF_DIV | BPF_K))
		step.k |= 1;
	else if (class == BPF_ALU && (operation == BPF_LSH || operation == BPF_RSH) &&
	         BPF_SRC(step.code) == BPF_K)
		step.k %= 32;
	else if (class == BPF_JMP && operation == BPF_JA)
		step.k %= (uint32_t)left;
	else if (class == BPF_JMP) {
		step.jt = (uint8_t)((size_t)random() % left);
		step.jf = (uint8_t)((size_t)random() % left);
	}
	return step;
}

/* The filter answers EPERM or ALLOW, by one bit of its result; KILL if it divides by zero. */
static unsigned short make(struct sock_filter *filter)
{
	size_t length = 0;
	for (uint32_t i = 0; i < BPF_MEMWORDS; i++) {
		filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, number());
		filter[length++] = (struct sock_filter)BPF_STMT(BPF_ST, i);
	}
	for (size_t i = 0; i < BODY; i++) {
		struct sock_filter step = any_step(BODY - i);
		/* The instruction pointer cannot be predicted. */
		if (step.code == (BPF_LD | BPF_W | BPF_ABS) &&
		        step.k >= offsetof(struct seccomp_data, instruction_pointer) &&
		        step.k < offsetof(struct seccomp_data, args))
			step.k = 0;
		filter[length++] = step;
	}
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1);
	filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return (unsigned short)length;
}

static const long argument[] = {0x123456789abcdef, -1, 0, 0x7fffffff80000000, 7, 0x100000001};
static _Atomic uint32_t *answer; /* shared with the children */

/* The kernel's answer to getppid().  The child ends by a trap, which is no system call. */
static uint32_t kernel_answer(const struct sock_fprog *program)
{
	int status = 0;
	atomic_store(answer, SECCOMP_RET_KILL_THREAD);
	pid_t pid = fork();
	if (!pid) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) < 0)
			_exit(3);
		long result = raw_kernel(SYS_getppid, argument[0], argument[1], argument[2],
		        argument[3], argument[4], argument[5]);
		atomic_store(
		        answer, result == -EPERM ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
		__builtin_trap();
	}
	require(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
	require(WIFSIGNALED(status), "the kernel does not take the filter");
	return atomic_load(answer);
}

static void compare(int count)
{
	struct sock_filter filter[MOST];
	struct seccomp_data data = {.nr = SYS_getppid, .arch = ARCHITECTURE};
	uint32_t seen[3] = {0, 0, 0};
	for (int i = 0; i < 6; i++)
		data.args[i] = (uint64_t)argument[i];
	for (int i = 0; i < count; i++) {
		struct sock_fprog program = {make(filter), filter};
		uint32_t theirs = kernel_answer(&program), ours = run(&program, &data);
		seen[ours == SECCOMP_RET_ALLOW ? 0 : ours ? 1 : 2]++;
		if (theirs == ours)
			continue;
		for (unsigned at = 0; at < program.len; at++)
			fprintf(stderr, "%3u: code %#06x k %#x jt %u jf %u\n", at, filter[at].code,
			        filter[at].k, filter[at].jt, filter[at].jf);
		fprintf(stderr, "filter %d: the kernel says %#x, we %#x\n", i, theirs, ours);
		exit(1);
	}
	printf("allowed %u, denied %u, killed %u\n", seen[0], seen[1], seen[2]);
}

/* ---- which threads and processes a filter binds ---- */

static struct sock_filter no_getppid[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static const struct sock_fprog sandbox = {sizeof(no_getppid) / sizeof(*no_getppid), no_getppid};
static pthread_barrier_t both;

/* For this thread, does the library say what the kernel does? */
static void is_known(bool denied_now, const char *who)
{
	require((raw_kernel(SYS_getppid, 0, 0, 0, 0, 0, 0) == -EPERM) == denied_now, who);
	require(sandbox_denies(SYS_getppid) == denied_now, who);
	require(!sandbox_denies(SYS_getuid), who);
}

static void *later(void *denied_now)
{
	is_known(denied_now != NULL, "a new thread");
	return NULL;
}

static void start(bool denied_now)
{
	pthread_t thread_of_it;
	require(!pthread_create(&thread_of_it, NULL, later, denied_now ? &both : NULL), "thread");
	pthread_join(thread_of_it, NULL);
}

static void enter(unsigned flags)
{
	require(sandbox_concerns_us(), "not ours");
	require(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &sandbox) == 0, "seccomp");
	sandbox_entered(&sandbox, flags & SECCOMP_FILTER_FLAG_TSYNC);
}

static void *second(void *unused)
{
	enter(0);
	is_known(true, "who has installed it");
	start(true);
	pid_t pid = fork();
	if (!pid) {
		is_known(true, "its child");
		start(true);
		_exit(0);
	}
	int status = 1;
	require(pid > 0 && waitpid(pid, &status, 0) == pid && !status, "its child");
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	return unused;
}

static void binds(void)
{
	pthread_t thread_of_it;
	member_board = (void *)&both;
	borrowed = true;
	require(!sandbox_concerns_us(), "a vfork child's");
	borrowed = false;
	require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl");
	is_known(false, "before");
	pthread_barrier_init(&both, NULL, 2);
	require(!pthread_create(&thread_of_it, NULL, second, NULL), "thread");
	pthread_barrier_wait(&both);
	is_known(false, "another thread");
	start(false);
	pthread_barrier_wait(&both);
	pthread_join(thread_of_it, NULL);
	enter(SECCOMP_FILTER_FLAG_TSYNC);
	is_known(true, "all threads");
	start(true);
}

/* ---- what the library's own start needs ---- */

static struct sock_filter no_seals[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_GET_SEALS, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* The library could not start in an executed program; this process itself may go on as before. */
static void joins(void)
{
	const struct sock_fprog program = {sizeof(no_seals) / sizeof(*no_seals), no_seals};
	require(!sandbox_denies_joining(), "nothing that a start needs is denied");
	sandbox_entered(&program, true);
	require(sandbox_denies_joining(), "F_GET_SEALS is denied");
	require(!sandbox_denies(SYS_fcntl), "the flags are not");
}

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	require(argc == 3, "usage: filter SEED COUNT");
	setrlimit(RLIMIT_CORE, &none);
	srandom((unsigned)atoi(argv[1]));
	answer = mmap(
	        NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(answer != MAP_FAILED, "mmap");
	compare(atoi(argv[2]));
	binds();
	joins();
	return 0;
}
