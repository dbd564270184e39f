/* SPDX-License-Identifier: MIT */
/* How this process becomes a member of a generation. */
#include "shim/member_join.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shim/member.h"
#include "shim/member_ask.h"
#include "shim/raw.h"

/*
 * Maps `fd` and closes it.  NULL on failure, also if the file does not have exactly the mapped
 * size, or is not sealed against a change of size: a later access could then end the daemon by
 * SIGBUS.
 */
static void *map_consume(int fd, size_t size, int protection)
{
	struct stat status;
	if (fd < 0)
		return NULL;
	long seals = raw(SYS_fcntl, fd, F_GET_SEALS);
	long memory = -EINVAL;
	if (raw(SYS_fstat, fd, &status) >= 0 && (size_t)status.st_size == size && seals >= 0 &&
	        (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW))
		memory = raw(SYS_mmap, NULL, size, protection, MAP_SHARED, fd, 0);
	raw(SYS_close, fd);
	return memory < 0 && memory > -4096 ? NULL : (void *)memory;
}

static bool own_new(void)
{
	long mine = raw(
	        SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mine < 0 && mine > -4096)
		return false;
	if (raw(SYS_madvise, mine, 4096, MADV_WIPEONFORK) < 0) {
		raw(SYS_munmap, mine, 4096);
		return false;
	}
	member_own = (struct member_own *)mine;
	return true;
}

void member_join(const char *variable)
{
	if (!member_find_launcher(variable))
		return;
	struct moult_request hello = {.verb = MOULT_HELLO, .listener = -1};
	struct moult_reply reply = {.listener = -1};
	int fds[MOULT_DESCRIPTORS];
	if (member_ask_for_all(&hello, &reply, fds) < 0)
		return;
	struct moult_board *board = map_consume(fds[0], sizeof(*board), PROT_READ);
	struct moult_tally *tally = map_consume(fds[1], sizeof(*tally), PROT_READ | PROT_WRITE);
	if (!board || !tally || board->contract != MOULT_CONTRACT ||
	        board->size != sizeof(*board) || !own_new()) {
		if (board)
			raw(SYS_munmap, board, sizeof(*board));
		if (tally)
			raw(SYS_munmap, tally, sizeof(*tally));
		return;
	}
	member_tally = tally;
	(void)member_pid();
	member_board = board;
}
