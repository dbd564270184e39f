/* SPDX-License-Identifier: MIT */
/* One generation of the daemon. */
#include "helper/state/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/printable.h"
#include "helper/base/units.h"
#include "helper/process/discard.h"

/*
 * Makes a memfd of a fixed size and maps it.  `future`: later mappings cannot be writable, so that
 * the daemon, which gets the descriptor, can only read.  0 or -errno.
 */
static int memory_new(size_t size, bool future, int *ret_fd, void **ret_memory)
{
	unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("moult", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	*ret_fd = fd;
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_memory = memory;
	if (future)
		seals |= F_SEAL_FUTURE_WRITE;
	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

static int shared_new(struct generation *generation)
{
	void *memory = NULL;
	int result = memory_new(sizeof(*generation->board), true, &generation->board_fd, &memory);
	generation->board = memory;
	if (result < 0)
		return result;
	memory = NULL;
	result = memory_new(sizeof(*generation->tally), false, &generation->tally_fd, &memory);
	generation->tally = memory;
	if (result < 0)
		return result;
	if (!generation->board || !generation->tally)
		return -ENOMEM;
	generation->board->contract = MOULT_CONTRACT;
	generation->board->size = (uint32_t)sizeof(*generation->board);
	generation->board->generation = generation->id;
	return slots_init(&generation->slots, generation->tally);
}

struct generation *generation_new(uint32_t id, const struct settings *settings)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	unsigned char random[MOULT_TOKEN_DIGITS / 2] = {0};
	if (!generation)
		return NULL;
	generation->id = id;
	generation->board_fd = generation->tally_fd = generation->reports.fd = -1;
	generation->notifier.link.fd = -1;
	generation->program = -1;
	generation->output_start = -1;
	int result = shared_new(generation);
	if (result == 0)
		result = settings_copy(&generation->settings, settings);
	if (result == 0 && getrandom(random, sizeof(random), 0) != sizeof(random))
		result = -EIO;
	if (result < 0) {
		generation_free(generation);
		errno = -result;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(generation->token + 2 * i, 3, "%02x", random[i]);
	struct stat status;
	if (fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode))
		generation->output_start = status.st_size;
	return generation;
}

void generation_starts(struct generation *generation)
{
	generation->is_starting = true;
	discard_hold();
}

void generation_started(struct generation *generation)
{
	if (generation->is_starting)
		discard_release();
	generation->is_starting = false;
}

void generation_free(struct generation *generation)
{
	if (!generation)
		return;
	generation_started(generation);
	loop_cancel(&generation->drain);
	loop_cancel(&generation->aftermath);
	errand_cancel(&generation->survey.counting);
	errand_cancel(&generation->survey.holding);
	inode_set_deinit(&generation->survey.remains.set);
	notifier_stop(&generation->notifier);
	loop_unwatch(&generation->reports);
	fd_close(&generation->reports.fd);
	if (generation->board)
		(void)munmap(generation->board, sizeof(*generation->board));
	if (generation->tally)
		(void)munmap(generation->tally, sizeof(*generation->tally));
	slots_deinit(&generation->slots);
	fd_close(&generation->board_fd);
	fd_close(&generation->tally_fd);
	fd_close(&generation->program);
	settings_deinit(&generation->settings);
	pid_set_deinit(&generation->told);
	free(generation);
}

void generation_variable(
        const struct generation *generation, const char *address, char *text, size_t size)
{
	snprintf(text, size, MOULT_VARIABLE "=%u:%u:%s:%d:%u:%s", MOULT_CONTRACT, generation->id,
	        generation->token, getpid(), geteuid(), address);
}

void gate_set(struct generation *generation, uint32_t listener, uint32_t word)
{
	_Atomic uint32_t *at = &generation->board->gate[listener].word;
	bool opens = (word & MOULT_GATE_STATE) == MOULT_GATE_OPEN;
	generation->words[listener] = word;
	generation->openings += opens;
	ledger_begin();
	if (opens)
		ledger_note(generation->entry, listener, word);
	atomic_store(at, word);
	if (!opens)
		ledger_note(generation->entry, listener, word);
	(void)syscall(SYS_futex, at, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void gate_end(struct generation *generation, uint32_t listener)
{
	gate_set(generation, listener, MOULT_GATE_DRAINING);
	ledger_forget(generation->entry, listener);
}

void generation_tell(struct generation *generation)
{
	atomic_fetch_add(&generation->board->sequence, 1);
	ledger_end();
}

void generation_take(struct generation *generation, uint32_t listener, enum holding holding,
        uint64_t inode, bool nonblock, uint32_t word)
{
	generation->held += !generation->holds[listener];
	generation->trusted[listener] &= generation->holds[listener] != HOLDS_NOT;
	generation->trusted[listener] |= (word & MOULT_GATE_STATE) == MOULT_GATE_OPEN;
	generation->holds[listener] = (uint8_t)holding;
	atomic_store(&generation->tally->view[listener].nonblock, nonblock);
	atomic_store(&generation->board->gate[listener].inode, inode);
	gate_set(generation, listener, word);
	if (atomic_load(&generation->board->listeners) <= listener)
		atomic_store(&generation->board->listeners, listener + 1);
	generation->last_bind = now();
	generation_tell(generation);
}

bool generation_waits_on(const struct generation *generation, uint32_t listener)
{
	return generation->holds[listener] &&
	       atomic_load(&generation->tally->view[listener].waiting);
}

bool generation_nonblock(const struct generation *generation, uint32_t listener)
{
	return atomic_load(&generation->tally->view[listener].nonblock);
}

bool generation_waits(const struct generation *generation)
{
	for (uint32_t i = 0; i < MOULT_LISTENERS; i++)
		if (generation_waits_on(generation, i))
			return true;
	return false;
}

unsigned generation_inflight(const struct generation *generation)
{
	return slots_inflight(&generation->slots);
}

uint64_t generation_accepted(const struct generation *generation)
{
	return slots_accepted(&generation->slots);
}

uint64_t generation_datagrams(const struct generation *generation)
{
	return slots_datagrams(&generation->slots);
}

uint64_t generation_open_hint(const struct generation *generation)
{
	return slots_open_hint(&generation->slots);
}

bool generation_has_workers(const struct generation *generation)
{
	return slots_has_others(&generation->slots, generation->main);
}

void status_print(int status, char *text, size_t size)
{
	char name[32];
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by %s",
		        signal_print(WTERMSIG(status), name, sizeof(name)));
	else
		snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

/*
 * The line that says why a daemon has ended: the last one that is neither indented (the call stack
 * of a runtime) nor ends in a colon (its title).  Else the last line; NULL: none.
 */
static char *line_of_interest(char *text)
{
	char *last = NULL, *best = NULL, *line;
	while ((line = strsep(&text, "\n"))) {
		log_strike_own(line);
		size_t length = strlen(line);
		if (!length)
			continue;
		last = line;
		if (*line != ' ' && *line != '\t' && line[length - 1] != ':')
			best = line;
	}
	return best ? best : last;
}

void generation_last_output(const struct generation *generation, char *text, size_t size)
{
	text[0] = '\0';
	struct stat status;
	if (generation->output_start < 0 || fstat(STDERR_FILENO, &status) < 0 ||
	        status.st_size <= generation->output_start)
		return;
	/* The launcher's stderr may be write-only, so the file is opened again. */
	CLEANUP(fd_close) int fd = open("/proc/self/fd/2", O_RDONLY | O_CLOEXEC);
	char tail[8192], *line = tail;
	off_t start = status.st_size - (off_t)sizeof(tail) + 1;
	if (start < generation->output_start)
		start = generation->output_start;
	ssize_t length = fd < 0 ? -1 : pread(fd, tail, sizeof(tail) - 1, start);
	if (length <= 0)
		return;
	tail[length] = '\0';
	if (start > generation->output_start) /* skip a cut line */
		line += strcspn(line, "\n");
	line = line_of_interest(line);
	if (!line)
		return;
	printable_make(line);
	snprintf(text, size, "; its last output: %s", line);
}

bool generation_has_failed(const struct generation *generation)
{
	return !generation->main_exited || !WIFEXITED(generation->main_status) ||
	       WEXITSTATUS(generation->main_status) != 0;
}

bool generation_has_ended(const struct generation *generation)
{
	siginfo_t keeper = {0};
	return !generation->keeper || (waitid(P_PID, (id_t)generation->keeper, &keeper,
	                                       WEXITED | WNOHANG | WNOWAIT) == 0 &&
	                                      keeper.si_pid);
}
