/* SPDX-License-Identifier: MIT */
/*
 * The keeper of a generation: the ancestor of all its processes.
 *
 * It is a forked copy of the launcher.  As a subreaper it stays above everything that the daemon
 * forks, however the daemon goes into the background, and it ends when the last of them has.
 *
 * It also sees to it that somebody accepts while the launcher cannot: it has the launcher's writable
 * mapping of its generation's board.
 *
 *   The launcher is dead (the keeper is told by PR_SET_PDEATHSIG).  Each keeper opens the gates of
 *   which its generation is the heir (ledger_is_heir()), and looks again as long as there are other
 *   generations, which may end.
 *
 *   The launcher is stopped (SIGSTOP, a debugger).  Whoever changes a gate tells the keepers first,
 *   and so does a keeper that ends.  As long as the change is under way, or nobody serves a listener
 *   of which its generation is the heir, a keeper looks at the launcher's state four times a second;
 *   after two seconds of "stopped" it does as if the launcher were dead.
 *
 * In both cases it first wakes everybody: the launcher may have opened a gate and not said so.
 *
 * A stopped launcher may be continued at any time.  The launcher has the last word then:
 *
 *   keeper:   used := 1; open gates; used := 1; SIGCHLD to the launcher, which wakes its loop
 *   launcher: before each event, and before a switch opens a gate: used was 1?  Then all gates are
 *             set to what the launcher has decided (switch_assert()).
 *
 * If the launcher's look comes before the first "used", the second one and the signal make it look
 * again.  If the look comes between the two, the same.  So the launcher's setting of the gates is
 * after the keeper's in any order, and until then two generations may accept at one time, each
 * serving what it has accepted.
 *
 * A keeper does not wait for the accepts of another generation, as a switch does.  One that had
 * looked at its gate before that was closed may come late by one connection, and is served.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "helper/process/ledger.h"

struct keeper {
	struct ledger_entry *entry;
	struct moult_board *board;
	int stop_signal;
	int reports;  /* struct report: spawn.h; the keeper tells the launcher there */
	pid_t daemon; /* the first process */
	void (*exited)(const struct keeper *keeper, int status); /* the first process has ended */
};

/* First of all in the new process.  0 or -errno. */
int keeper_begin(struct ledger_entry *entry);

_Noreturn void keeper_run(const struct keeper *keeper);
