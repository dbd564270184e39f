/* SPDX-License-Identifier: MIT */
/* One generation of the daemon: its processes, what they share with us, what it has taken up. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "helper/base/loop.h"
#include "helper/kernel/tree.h"
#include "helper/process/errand.h"
#include "helper/process/ledger.h"
#include "helper/state/fdstore.h"
#include "helper/state/settings.h"
#include "helper/state/slots.h"
#include "shim/contract.h"

/*
 *            ready, switched              next one switched          drained or out of time
 *   NEXT ---------------------> CURRENT ---------------------> DRAINING ----> STOPPING ----> gone
 *     | failed                     ^       next one failed        |               ^
 *     |                            +------------------------------+               |
 *     +---------------------------------------------------------------------------+
 */
enum generation_state {
	GENERATION_NEXT,
	GENERATION_CURRENT,
	GENERATION_DRAINING,
	GENERATION_STOPPING, /* told to end; SIGKILL follows */
};

/* ALONE: one socket; SHARED: as many as it likes, SO_REUSEPORT. */
enum holding { HOLDS_NOT, HOLDS_ALONE, HOLDS_SHARED };

struct instance;

/* What is on its way about it: helper/state/survey.h */
struct survey {
	struct errand counting, holding;
	bool has_ended, is_empty; /* a count has ended, and of what */
	bool is_wanted;           /* by somebody who waits */
	nanoseconds cost;         /* of the last count */
	uint64_t out_of_sight; /* connections that nobody was found to hold, as a hash; 0: none */
	nanoseconds rests_until;

	uint8_t abandoned[MOULT_LISTENERS / 8]; /* listeners that no process held */
	nanoseconds looked_at;

	nanoseconds waited, waited_at; /* how long the loop has stood still for it, lately */
};

struct generation {
	struct generation *older;
	struct instance *instance;
	uint32_t id;
	enum generation_state state;
	struct settings settings;

	/* Processes. */
	pid_t keeper;
	pid_t main;  /* the first process; 0 until it has been reported */
	int program; /* O_PATH: the file that it executes, or a script; -1: not known */
	bool executed, main_exited;
	bool is_starting; /* its keeper has not reported yet: discard_hold() */
	int main_status;
	int execute_error;
	struct watch reports;
	struct timer aftermath; /* the first process has ended: what does that mean? */

	/* Shared memory.  Whoever writes the board also writes our own copy: gate_set(). */
	struct moult_board *board;
	struct moult_tally *tally;
	int board_fd, tally_fd;
	uint32_t words[MOULT_LISTENERS]; /* what the gates are at */
	struct ledger_entry *entry;      /* for its keeper; NULL before it is started */
	struct slots slots;
	char token[MOULT_TOKEN_DIGITS + 1];
	uint8_t holds[MOULT_LISTENERS]; /* enum holding: has bound, or announced, that listener */
	uint32_t held;                  /* how many */
	/*
	 * Needs no look at its waits before that listener is switched to it: it has accepted there
	 * before, or it has said that it is ready while it held the listener (notify, fd=N).
	 */
	bool trusted[MOULT_LISTENERS];

	nanoseconds started, ready, last_bind;
	time_t started_wall;
	bool is_ready;
	bool awaits_turn;      /* nobody serves, and it does not either before it is ready */
	bool told_unsupported; /* that a socket of it cannot be handed over */
	bool told_right;       /* that a process of it may not have a listener */
	bool told_contract;    /* that its library is of another version */
	bool told_cut_off;     /* that it is not served, because of what it has sent */
	bool told_quota;       /* that it listens on more than can be handed over */
	bool is_joined;        /* a process of it has said hello, */
	uid_t first_uid;       /* and this was the user of the first one */
	uid_t taken_by[MOULT_LISTENERS]; /* the user of the process that took up each listener */
	uint32_t added;                  /* listeners that are new to the store */
	off_t output_start; /* where the daemon's stderr began, -1: not a regular file */

	/* Drain and end. */
	bool yields; /* to a successor who starts when it has ended, and to whom its queues belong */
	struct timer drain;
	nanoseconds drain_began, drain_deadline, kill_at;
	struct survey survey;
	size_t processes, connections;                   /* as of the last audit */
	bool count_is_old;                               /* another has been tried since */
	bool audited;                                    /* it has been counted at all */
	uint64_t counted_signature, counted_descriptors; /* at that audit: helper/state/glance.h */
	nanoseconds counted_at, count_cost;
	int empty_in_a_row;
	bool talks_to_itself; /* over UNIX listeners of its own: services that use each other */
	bool deserted;        /* and there is no client left whom they may serve together */
	struct pid_set told;  /* processes that got the stop signal */
	bool by_deadline;
	bool stayed; /* at the last look it still had a listener to serve: helper/switch/moves.h */
	bool drain_signal_due; /* it gets its drain signal when it has none any more */
	char ending[64];       /* "drained after 4.2 s, " */
};

/* A generation that does not run yet. NULL with errno. */
struct generation *generation_new(uint32_t id, const struct settings *settings);
void generation_free(struct generation *generation);

/* Its keeper is forked, and has reported that the daemon was executed, or was not. */
void generation_starts(struct generation *generation);
void generation_started(struct generation *generation);

/* The value of MOULT for it. */
void generation_variable(
        const struct generation *generation, const char *address, char *text, size_t size);

/* From our own copy: a gate is at what we have set, whatever the shared memory says. */
static inline uint32_t gate_word(const struct generation *generation, uint32_t listener)
{
	return generation->words[listener];
}

static inline uint32_t gate_get(const struct generation *generation, uint32_t listener)
{
	return gate_word(generation, listener) & MOULT_GATE_STATE;
}

/* Writes the word and wakes blocked accepts; a wait notices after generation_tell(). */
void gate_set(struct generation *generation, uint32_t listener, uint32_t word);
void generation_tell(struct generation *generation);

/* Closes the gate of a listener that is about to end. */
void gate_end(struct generation *generation, uint32_t listener);

/* Puts a listener on its board. */
void generation_take(struct generation *generation, uint32_t listener, enum holding holding,
        uint64_t inode, bool nonblock, uint32_t word);

/* Accepts between reservation and return, of processes that live. */
unsigned generation_inflight(const struct generation *generation);

/* What its processes say: does one of them wait for connections there; O_NONBLOCK. */
bool generation_waits_on(const struct generation *generation, uint32_t listener);
bool generation_nonblock(const struct generation *generation, uint32_t listener);

/* Is some process waiting for connections on a listener it holds? */
bool generation_waits(const struct generation *generation);

/* Sums of the slots: hints. */
uint64_t generation_accepted(const struct generation *generation);
uint64_t generation_datagrams(const struct generation *generation);
uint64_t generation_open_hint(const struct generation *generation);

/* Has a process other than the first one accepted connections and is alive? */
bool generation_has_workers(const struct generation *generation);

/* How the first process ended, for people: "exited with status 1", "was killed by SIGSEGV". */
void status_print(int status, char *text, size_t size);

/* "; its last output: …" with the last line it wrote, or "". */
void generation_last_output(const struct generation *generation, char *text, size_t size);
