/* SPDX-License-Identifier: MIT */
/*
 * Starting a generation: launcher -> keeper -> the daemon.
 *
 * "The processes of a generation" are the descendants of its keeper (helper/process/keeper.h), and "nothing
 * of it is left" is the keeper's exit.  The keeper needs nothing of the launcher: if the launcher is
 * killed, the generation lives on.
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
	_Atomic int32_t *keeper;    /* shared memory: the keeper writes its pid before all else */
	struct ledger_entry *entry; /* the generation's, for the keeper, and so are the next two */
	struct moult_board *board;
	int stop_signal;
	char **command;
	int program; /* the file to be executed; -1: what command[0] names. The caller's. */
	char **environment;
	int ready_fd;    /* the daemon's number for ready_pipe; -1: none */
	int ready_pipe;  /* stays the caller's */
	bool background; /* its stdin is /dev/null, and so are stdout and stderr unless regular
	                    files */
};

/* Closes every descriptor from that number on. */
void close_from(int first);

/*
 * Forks.  *ret_reports: struct report, one per read, CLOEXEC, non-blocking, the caller's to close.
 * 0 or -errno.
 */
int spawn_generation(const struct spawn *spawn, pid_t *ret_keeper, int *ret_reports);
