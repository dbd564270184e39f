/* SPDX-License-Identifier: MIT */
/*
 * The keeper of a generation: the ancestor of all its processes.
 *
 * A keeper is a forked copy of the launcher.  As a subreaper it stays the ancestor of every process
 * that the daemon forks, however the daemon goes into the background.  It ends when the last of
 * these processes has ended.
 *
 * A keeper also opens gates while the launcher cannot.  It has the launcher's writable mapping of
 * its generation's board.
 *
 *   The launcher is dead (PR_SET_PDEATHSIG tells the keeper).  Each keeper opens the gates of which
 *   its generation is the heir (ledger_is_heir()).  It looks again as long as there are other
 *   generations, because these may end.
 *
 *   The launcher is stopped (SIGSTOP, a debugger).  The launcher signals the keepers before it
 *   changes a gate, and a keeper signals the others when it ends.  While the change is under way,
 *   or while no generation serves a listener of which its generation is the heir, a keeper looks at
 *   the launcher's state four times a second.  After two seconds of "stopped" it does the same as
 *   if the launcher were dead.
 *
 * In both cases the keeper first wakes all waiters: the launcher may have opened a gate and not
 * told.
 *
 * A stopped launcher may be continued at any time.  Then the launcher's decision stands:
 *
 *   keeper:   used := 1; open gates; used := 1; SIGCHLD to the launcher, which wakes its loop
 *   launcher: before each event, and before a switch opens a gate: used was 1?
 *             Then set all gates to what the launcher has decided (switch_assert()).
 *
 * If the launcher looks before the first "used" or between the two, the second "used" and the
 * signal make it look again.  So in any order the launcher sets the gates after the keeper.  Until
 * then two generations may accept at one time.  Each serves what it has accepted.
 *
 * Unlike a switch, a keeper does not wait for the accepts of another generation.  A process that
 * looked at its gate before the gate was closed may accept one more connection.  It serves that
 * connection.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "helper/process/ledger.h"

struct keeper {
	struct ledger_entry *entry;
	struct moult_board *board;
	int stop_signal;
	int reports;  /* the pipe to the launcher, for struct report (spawn.h) */
	pid_t daemon; /* the first process */
	void (*exited)(const struct keeper *keeper, int status); /* the first process has ended */
};

/* Makes the calling process a keeper.  Call first in the new process.  0 or -errno. */
int keeper_begin(struct ledger_entry *entry);

/* Reaps, and looks at the launcher, until the generation's last process has ended. */
_Noreturn void keeper_run(const struct keeper *keeper);
