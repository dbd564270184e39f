/* SPDX-License-Identifier: MIT */
/* One generation of the daemon. */
#include "helper/generation.h"

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

static int page_new(struct generation *generation)
{
	size_t size = sizeof(struct moult_page);
	generation->page_fd = memfd_create("moult", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (generation->page_fd < 0 || ftruncate(generation->page_fd, (off_t)size) < 0 ||
	        fcntl(generation->page_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
	                0)
		return -errno;
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, generation->page_fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	generation->page = page;
	generation->page->contract = MOULT_CONTRACT;
	generation->page->size = (uint32_t)size;
	generation->page->generation = generation->id;
	atomic_store(&generation->page->slots, 1);
	return 0;
}

struct generation *generation_new(uint32_t id, const struct settings *settings)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	unsigned char random[MOULT_TOKEN_DIGITS / 2];
	if (!generation)
		return NULL;
	generation->id = id;
	generation->page_fd = generation->reports.fd = generation->program = -1;
	generation->output_start = -1;
	if (page_new(generation) < 0 || settings_copy(&generation->settings, settings) < 0 ||
	        getrandom(random, sizeof(random), 0) != sizeof(random)) {
		int error = errno;
		generation_free(generation);
		errno = error;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(generation->token + 2 * i, 3, "%02x", random[i]);
	struct stat status;
	if (fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode))
		generation->output_start = status.st_size;
	return generation;
}

void generation_free(struct generation *generation)
{
	if (!generation)
		return;
	loop_cancel(&generation->drain);
	loop_cancel(&generation->aftermath);
	loop_unwatch(&generation->reports);
	fd_close(&generation->reports.fd);
	if (generation->page)
		munmap(generation->page, sizeof(struct moult_page));
	fd_close(&generation->page_fd);
	fd_close(&generation->program);
	settings_deinit(&generation->settings);
	pid_set_deinit(&generation->told);
	free(generation);
}

void generation_variable(
        const struct generation *generation, const char *address, char *text, size_t size)
{
	snprintf(text, size, MOULT_VARIABLE "=%u:%u:%s:%s", MOULT_CONTRACT, generation->id,
	        generation->token, address);
}

void gate_set(struct generation *generation, uint32_t listener, uint32_t word)
{
	_Atomic uint32_t *at = &generation->page->gate[listener].word;
	atomic_store(at, word);
	syscall(SYS_futex, at, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void generation_tell(struct generation *generation)
{
	atomic_fetch_add(&generation->page->sequence, 1);
}

void generation_take(struct generation *generation, uint32_t listener, enum holding holding,
        uint64_t inode, bool nonblock, uint32_t word)
{
	struct moult_gate *gate = &generation->page->gate[listener];
	generation->held += !generation->holds[listener];
	generation->trusted[listener] &= generation->holds[listener] != HOLDS_NOT;
	generation->trusted[listener] |= (word & MOULT_GATE_STATE) == MOULT_GATE_OPEN;
	generation->holds[listener] = (uint8_t)holding;
	atomic_store(&gate->nonblock, nonblock);
	atomic_store(&gate->inode, inode);
	gate_set(generation, listener, word);
	if (atomic_load(&generation->page->listeners) <= listener)
		atomic_store(&generation->page->listeners, listener + 1);
	generation->last_bind = now();
	generation_tell(generation);
}

/* No process has this pid: a slot on its way back to being free. */
#define SLOT_TAKEN UINT32_MAX

/* The daemon may have written anything there. */
static uint32_t slots_used(const struct generation *generation)
{
	uint32_t used = atomic_load(&generation->page->slots);
	return used > MOULT_SLOTS ? MOULT_SLOTS : used;
}

/* A zombie accepts nothing any more, but still answers to kill(pid, 0). */
static bool is_alive(pid_t pid)
{
	char path[32], text[256];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	const char *state = strrchr(text, ')');
	return state && state[1] == ' ' && state[2] != 'Z' && state[2] != 'X';
}

unsigned generation_inflight(const struct generation *generation)
{
	unsigned sum = 0;
	for (uint32_t i = 0; i < slots_used(generation); i++) {
		const struct moult_slot *slot = &generation->page->slot[i];
		uint32_t inflight = atomic_load(&slot->inflight);
		pid_t pid = (pid_t)atomic_load(&slot->pid);
		if (inflight && (i == 0 || (pid > 0 && is_alive(pid))))
			sum += inflight;
	}
	return sum;
}

bool generation_waits(const struct generation *generation)
{
	for (uint32_t i = 0; i < MOULT_LISTENERS; i++)
		if (generation_waits_on(generation, i))
			return true;
	return false;
}

uint64_t generation_accepted(struct generation *generation)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < slots_used(generation); i++) {
		struct moult_slot *slot = &generation->page->slot[i];
		uint64_t accepted = atomic_load(&slot->accepted);
		uint32_t pid = atomic_load(&slot->pid);
		/*
		 * Ours first, then emptied, then free: a new process may take a dead one's slot
		 * under its own pid at the same time, and what it counts is its own.
		 */
		if (i > 0 && pid &&
		        (pid > INT32_MAX || (kill((pid_t)pid, 0) < 0 && errno == ESRCH)) &&
		        atomic_compare_exchange_strong(&slot->pid, &pid, SLOT_TAKEN)) {
			generation->accepted_before += atomic_exchange(&slot->accepted, 0);
			atomic_store(&slot->closed, 0);
			atomic_store(&slot->inflight, 0);
			atomic_store(&slot->pid, 0);
			continue;
		}
		sum += accepted;
	}
	return sum + generation->accepted_before;
}

uint64_t generation_datagrams(const struct generation *generation)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < slots_used(generation); i++)
		sum += atomic_load(&generation->page->slot[i].datagrams);
	return sum;
}

uint64_t generation_open_hint(const struct generation *generation)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < slots_used(generation); i++) {
		const struct moult_slot *slot = &generation->page->slot[i];
		uint64_t accepted = atomic_load(&slot->accepted),
		         closed = atomic_load(&slot->closed);
		sum += accepted > closed ? accepted - closed : 0;
	}
	return sum;
}

bool generation_has_workers(const struct generation *generation)
{
	for (uint32_t i = 1; i < slots_used(generation); i++) {
		pid_t pid = (pid_t)atomic_load(&generation->page->slot[i].pid);
		if (pid > 0 && pid != generation->main && is_alive(pid))
			return true;
	}
	return false;
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
 * Of what a runtime says when it ends, the line that says why: not the call stack below it, which is
 * indented, nor its title.
 */
static char *line_of_interest(char *text)
{
	char *last = NULL, *best = NULL, *line;
	while ((line = strsep(&text, "\n"))) {
		/* The launcher may log to the same file: its own lines are none of the daemon's. */
		size_t length = strlen(line);
		if (!length || strncmp(line, "moult: ", strlen("moult: ")) == 0)
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
	/* Our own stderr may be write-only: open it again. */
	CLEANUP(fd_close) int fd = open("/proc/self/fd/2", O_RDONLY | O_CLOEXEC);
	char tail[8192], *line = tail;
	off_t start = status.st_size - (off_t)sizeof(tail) + 1;
	if (start < generation->output_start)
		start = generation->output_start;
	ssize_t length = fd < 0 ? -1 : pread(fd, tail, sizeof(tail) - 1, start);
	if (length <= 0)
		return;
	tail[length] = '\0';
	if (start > generation->output_start) /* in the middle of a line */
		line += strcspn(line, "\n");
	line = line_of_interest(line);
	if (!line)
		return;
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	snprintf(text, size, "; its last output: %s", line);
}
