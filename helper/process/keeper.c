/* SPDX-License-Identifier: MIT */
/* The keeper of a generation: the ancestor of all its processes. */
#include "helper/process/keeper.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "helper/kernel/tree.h"

/* LOOK comes from the launcher or another keeper; DEATH from the kernel: the launcher is dead. */
enum { SIGNAL_LOOK = SIGUSR1, SIGNAL_DEATH = SIGUSR2 };

static const nanoseconds LOOK_PAUSE = 250 * MILLISECOND;
/* After the launcher's death: accepts that passed a gate before it closed have begun by then. */
static const nanoseconds DEATH_PAUSE = 5 * MILLISECOND;
static const nanoseconds STOPPED_PATIENCE = 2 * SECOND;
enum { STOPPED_LOOKS = 3 };

static struct {
	const struct keeper *keeper;
	struct pid_set told; /* processes that got the stop signal */
	nanoseconds stopped_since;
	unsigned stopped_looks; /* looks in a row that found the launcher stopped */
	bool told_all;          /* tell_all() was called after the launcher's death */
} state;

int keeper_begin(struct ledger_entry *entry)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)prctl(PR_SET_PDEATHSIG, SIGNAL_DEATH); /* not inherited by the daemon */
	(void)prctl(PR_SET_NAME, "moult-keeper");
	return ledger_keep(entry);
}

/* ---- gates ---- */

static bool launcher_is_dead(void)
{
	return getppid() != ledger_launcher();
}

static bool launcher_is_stopped(void)
{
	char letter;
	pid_t parent;
	pid_t launcher = ledger_launcher();
	return tree_stat(launcher, &letter, &parent) == 0 && (letter == 'T' || letter == 't') &&
	       !launcher_is_dead();
}

static uint32_t word_of(uint32_t listener)
{
	return atomic_load(&state.keeper->board->gate[listener].word);
}

static uint32_t listeners(void)
{
	uint32_t count = atomic_load(&state.keeper->board->listeners);
	return count < MOULT_LISTENERS ? count : MOULT_LISTENERS;
}

static bool is_open(uint32_t word)
{
	uint32_t gate = word & MOULT_GATE_STATE;
	return gate == MOULT_GATE_OPEN || gate == MOULT_GATE_SHUT; /* SHUT: the daemon's decision */
}

/* Wakes accepts that sleep at the gate, and lets waits that compare the sequence look again. */
static void tell(uint32_t listener)
{
	struct moult_board *board = state.keeper->board;
	(void)syscall(SYS_futex, &board->gate[listener].word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	atomic_fetch_add(&board->sequence, 1);
}

static void tell_all(void)
{
	for (uint32_t i = 0, end = listeners(); i < end; i++)
		tell(i);
}

/*
 * Opens the gates of which this generation is the heir.  The shim, which has the descriptor, sets
 * O_NONBLOCK.  CROWDED stays as long as other generations may be in the socket's wait queue.
 */
static void open_gates(void)
{
	uint32_t crowded = ledger_has_others() ? MOULT_GATE_CROWDED : 0;
	uint32_t wanted = MOULT_GATE_OPEN | MOULT_GATE_ORPHANED | crowded;
	for (uint32_t i = 0, end = listeners(); i < end; i++) {
		uint32_t word = word_of(i);
		ledger_correct(state.keeper->entry, i, word);
		bool mine = (word & MOULT_GATE_ORPHANED) && word != wanted;
		if (!mine && (is_open(word) || !ledger_is_heir(state.keeper->entry, i)))
			continue;
		ledger_correct(state.keeper->entry, i, wanted);
		atomic_store(&state.keeper->board->gate[i].word, wanted);
		tell(i);
	}
}

/* Are changes under way, or is a gate closed of which this generation is the heir? */
static bool is_vacant(void)
{
	if (ledger_is_begun())
		return true;
	for (uint32_t i = 0, end = listeners(); i < end; i++)
		if (ledger_is_heir(state.keeper->entry, i) && !is_open(word_of(i)))
			return true;
	return false;
}

/* ---- looks: each returns the pause before the next; NEVER: until a signal comes ---- */

/*
 * Finishes the end that the operator has asked for: sends the stop signal, unless the ledger says
 * that the launcher has.  The launcher may have died between the signal and its note, so that the
 * daemon gets the signal twice.
 */
static void finish_end(void)
{
	if (ledger_is_ending() && !ledger_is_told(state.keeper->entry))
		tree_signal_children_once(getpid(), state.keeper->stop_signal, &state.told);
}

static nanoseconds look_after_death(void)
{
	finish_end();
	if (!ledger_lock(state.keeper->entry))
		return DEATH_PAUSE;
	if (!state.told_all)
		tell_all();
	state.told_all = true;
	open_gates();
	bool others = ledger_has_others();
	ledger_unlock();
	return others || ledger_is_ending() ? LOOK_PAUSE : NEVER;
}

/* The launcher may be continued between any two of these steps: see keeper.h. */
static void act_for_stopped(void)
{
	ledger_use();
	if (launcher_is_stopped()) {
		tell_all();
		open_gates();
		ledger_use();
	}
	if (!launcher_is_dead())
		(void)kill(ledger_launcher(), SIGCHLD);
}

static nanoseconds look_at_launcher(void)
{
	if (!ledger_lock(state.keeper->entry))
		return DEATH_PAUSE;
	/*
	 * First alert := 0, then the look at the gates.  The launcher first says that it changes
	 * them, then reads alert (ledger_begin()).  So one of the two sees the other's write.
	 */
	ledger_set_alert(state.keeper->entry, false);
	bool vacant = is_vacant();
	if (vacant) {
		ledger_set_alert(state.keeper->entry, true);
		if (!launcher_is_stopped())
			state.stopped_looks = 0;
		else if (!state.stopped_looks++)
			state.stopped_since = now();
		if (state.stopped_looks >= STOPPED_LOOKS &&
		        now() - state.stopped_since >= STOPPED_PATIENCE)
			act_for_stopped();
	} else
		state.stopped_looks = 0;
	ledger_unlock();
	return vacant ? LOOK_PAUSE : NEVER;
}

/* ---- life ---- */

static void reap(void)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR))
		if (pid == state.keeper->daemon)
			state.keeper->exited(state.keeper, status);
	if (pid < 0 && errno == ECHILD) {
		ledger_leave(state.keeper->entry);
		_exit(0);
	}
}

/* Sleeps until a signal or that time.  The signal; -1: the time has come. */
static int sleep_until(nanoseconds at)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGNAL_LOOK);
	sigaddset(&set, SIGNAL_DEATH);
	if (at == NEVER)
		return sigwaitinfo(&set, NULL);
	nanoseconds left = at - now();
	if (left < 0)
		left = 0;
	const struct timespec timeout = {left / SECOND, left % SECOND};
	return sigtimedwait(&set, NULL, &timeout);
}

_Noreturn void keeper_run(const struct keeper *keeper)
{
	state.keeper = keeper;
	bool dead = false;
	nanoseconds due = 0;
	for (;;) {
		reap();
		bool died = !dead && launcher_is_dead();
		dead |= died;
		if (died)
			due = after(DEATH_PAUSE);
		else if (now() >= due)
			due = after(dead ? look_after_death() : look_at_launcher());
		if (sleep_until(due) == SIGNAL_LOOK)
			due = 0;
	}
}
