/* SPDX-License-Identifier: MIT */
/*
 * Starting a generation: launcher -> keeper -> the daemon.
 *
 * The processes of a generation are the descendants of its keeper (helper/process/keeper.h).  When
 * the keeper exits, no process of the generation is left.  The keeper does not need the launcher:
 * if the launcher is killed, the generation lives on.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/base/util.h"
#include "helper/process/ledger.h"
#include "shim/contract.h"

enum report_kind {
	REPORT_EXECUTED,     /* the program runs */
	REPORT_NOT_EXECUTED, /* value: errno */
	REPORT_EXITED,       /* the first process ended; value: its wait status */
};

struct report {
	int kind;
	int value;
	pid_t pid; /* of the first process */
};

struct spawn {
	_Atomic int32_t *keeper;    /* shared memory: the keeper writes its pid there first */
	struct ledger_entry *entry; /* this and the next two are for the keeper */
	struct moult_board *board;
	int stop_signal;
	char **command;
	int program; /* the file to execute; -1: command[0] names it.  Stays the caller's */
	char **environment;
	int ready_fd;    /* the daemon's number for ready_pipe; -1: none */
	int ready_pipe;  /* stays the caller's */
	bool background; /* /dev/null for stdin, and for stdout and stderr unless regular files */
};

/*
 * Forks the keeper.  *ret_reports: a pipe that yields one struct report per read, CLOEXEC,
 * non-blocking, the caller's to close.  0 or -errno.
 */
int spawn_generation(const struct spawn *spawn, pid_t *ret_keeper, int *ret_reports);
