/* SPDX-License-Identifier: MIT */
/* One generation of the daemon: its processes, its shared memory, the listeners it has taken up. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "helper/base/loop.h"
#include "helper/kernel/inode_set.h"
#include "helper/kernel/tree.h"
#include "helper/process/errand.h"
#include "helper/process/ledger.h"
#include "helper/process/notifier.h"
#include "helper/state/listener.h"
#include "helper/state/settings.h"
#include "helper/state/slots.h"
#include "shim/contract.h"

/* helper/lifecycle/transitions.c has the table of what leads from one state to another. */
enum generation_state {
	GENERATION_WARMING,  /* it is being started and is not ready yet */
	GENERATION_CURRENT,  /* it should accept */
	GENERATION_STANDBY,  /* replaced; it serves again if the current one fails on probation */
	GENERATION_DRAINING, /* replaced; its connections run out */
	GENERATION_VACATING, /* --no-overlap: the same, and the next one starts when it has ended */
	GENERATION_STOPPING, /* it has the stop signal; SIGKILL follows */
	GENERATION_KILLED,   /* SIGKILL again and again until no process is left */
	GENERATION_STATES
};

/*
 * ALONE: by one socket; SHARED: by any number of sockets, with SO_REUSEPORT; PASSED: by a descriptor
 * that it has inherited, and it may also bind the address (helper/lifecycle/kept.h).
 */
enum holding { HOLDS_NOT, HOLDS_ALONE, HOLDS_SHARED, HOLDS_PASSED };

struct instance;

/* helper/state/remains.h */
/* When a list was read: a generation that has accepted since then has other connections. */
struct remains_moment {
	uint64_t accepted; /* generation_accepted() */
	uint32_t openings; /* ->openings */
	bool is_final;     /* no gate was open, and no accept under way */
};

/* All zero: not known. */
struct remains {
	struct inode_set set; /* as of the last count */
	bool is_known;
	bool is_valid; /* remains_prepare(): it has accepted nothing since the first count */
	struct remains_moment since;
};

/* Counts of a generation that are under way, and their results: helper/state/survey.h */
struct survey {
	struct errand counting, holding;
	bool has_ended, is_empty; /* a count has ended, and has found nothing */
	bool is_wanted;           /* a caller waits for the count */
	nanoseconds cost;         /* of the last count */
	bool is_about; /* the number of connections: not all processes could be looked at */
	struct remains remains;
	uint64_t out_of_sight;   /* hash of the connections without a known holder; 0: none */
	unsigned looks;          /* how often they have been looked for */
	nanoseconds rests_until; /* no count begins before */

	uint8_t abandoned[MOULT_LISTENERS / 8]; /* bits: listeners that no process held */
	nanoseconds looked_at;                  /* when `abandoned` was found */

	nanoseconds waited, waited_at; /* how long the loop has waited lately, and as of when */
};

/* Grouped by who writes a field after generation_new(). */
struct generation {
	/* Nobody, once it has been started (helper/lifecycle/attempt.c). */
	uint32_t id;
	struct instance *instance;
	struct settings settings;
	char token[MOULT_TOKEN_DIGITS + 1];
	off_t output_start; /* size of the daemon's stderr at its start; -1: not a regular file */
	nanoseconds started;
	time_t started_wall;
	struct ledger_entry *entry; /* for its keeper; NULL before it is started */
	int board_fd, tally_fd;
	struct moult_tally *tally; /* the memory is written by the daemon's processes */

	/* helper/lifecycle/: the state machine (transitions.c writes `state`). */
	struct generation *older;
	enum generation_state state;
	bool is_ready;
	nanoseconds ready;
	bool awaits_turn; /* no generation serves, nor does this one before it is ready */
	int program;      /* O_PATH: the file or script that it executes; -1: not known */

	/* helper/lifecycle/: its processes, as its keeper reports them. */
	pid_t keeper; /* 0: it has ended */
	pid_t main;   /* the first process; 0 until it has been reported */
	bool executed, main_exited;
	int main_status;
	nanoseconds main_ended; /* when this was reported */
	int execute_error;
	struct watch reports;
	struct notifier notifier; /* what its processes say by sd_notify */
	struct timer aftermath;   /* decides what the end of the first process means */
	bool is_starting; /* generation_starts(): its keeper has not reported yet, discard_hold() */

	/*
	 * gate_set(), which writes each gate word to the board and to `words`, the launcher's
	 * private copy.  A keeper writes the board alone.  helper/switch/ and
	 * helper/requests/ write the rest of the board.
	 */
	struct moult_board *board;
	uint32_t words[MOULT_LISTENERS]; /* the gate words that the launcher has set */
	uint32_t openings;               /* how often it has opened one */

	/* generation_take() and instance_drop(): its listeners. */
	uint8_t holds[MOULT_LISTENERS]; /* enum holding: has bound, or announced, that listener */
	uint32_t held;                  /* how many */
	nanoseconds last_bind;
	/*
	 * Also helper/switch/ and helper/lifecycle/readiness.c.  The switch may give that listener
	 * to this generation though no process is seen to wait there: the generation has accepted
	 * there before, or said that it is ready while it held the listener (notify, fd=N), or the
	 * time for late listeners is over (helper/switch/moves.h).
	 */
	bool trusted[MOULT_LISTENERS];

	/* helper/requests/: what its processes have asked for. */
	struct slots slots;
	bool is_joined;                  /* one of its processes has said hello */
	uid_t first_uid;                 /* the user of the first process that did */
	uid_t taken_by[MOULT_LISTENERS]; /* the user of the process that took up each listener */
	uint32_t added;                  /* how many listeners it has added to the store */
	bool told_unsupported;           /* logged: one of its sockets cannot be handed over */
	bool told_right;                 /* logged: one of its processes may not have a listener */
	bool told_contract;              /* logged: its library is of another version */
	bool told_cut_off;               /* logged: nothing more is received from its processes */
	bool told_quota;                 /* logged: it listens on more than can be handed over */

	/* helper/state/survey.c and glance.c: what it has. */
	struct survey survey;
	size_t processes, connections; /* as of the last audit */
	bool count_is_old;             /* a later count has failed */
	bool audited;                  /* it has been counted at least once */
	bool talks_to_itself;          /* its services use each other over its UNIX listeners */
	uint64_t counted_signature, counted_descriptors; /* at the audit: helper/state/glance.h */
	nanoseconds counted_at, count_cost;

	/* helper/lifecycle/drain.c: its end. */
	struct timer drain;
	nanoseconds drain_began, drain_deadline, kill_at;
	int empty_in_a_row; /* counts that have found nothing */
	bool deserted;      /* no client is left that its services may serve together */
	bool stayed;        /* it had a listener to serve at the last look: helper/switch/moves.h */
	bool drain_signal_due; /* it gets its drain signal when it has no listener to serve */
	bool by_deadline;
	bool told_refused;   /* logged: it has processes that moult may not signal */
	struct pid_set told; /* processes that got the stop signal */
	char ending[64];     /* for the log: "drained after 4.2 s, " */
};

/*
 * May its processes bind new addresses and take up listeners?  Only those of the next and of the
 * current generation; an older one gets only what it holds.
 */
static inline bool generation_may_bind(const struct generation *generation)
{
	return generation->state == GENERATION_WARMING || generation->state == GENERATION_CURRENT;
}

/* Has it been replaced without being told to end?  Then it may also serve again. */
static inline bool generation_is_replaced(const struct generation *generation)
{
	return generation->state == GENERATION_STANDBY ||
	       generation->state == GENERATION_DRAINING || generation->state == GENERATION_VACATING;
}

/* A generation that does not run yet, the caller's to free.  NULL with errno. */
struct generation *generation_new(uint32_t id, const struct settings *settings);
void generation_free(struct generation *generation);

/*
 * _starts: call when its keeper is forked.  _started: call when the keeper has reported that the
 * daemon was executed, or was not.
 */
void generation_starts(struct generation *generation);
void generation_started(struct generation *generation);

/* Prints the variable for its environment, "MOULT=...". */
void generation_variable(
        const struct generation *generation, const char *address, char *text, size_t size);

/* The gate word that the launcher has set last, whatever the shared memory says. */
static inline uint32_t gate_word(const struct generation *generation, uint32_t listener)
{
	return generation->words[listener];
}

static inline uint32_t gate_get(const struct generation *generation, uint32_t listener)
{
	return gate_word(generation, listener) & MOULT_GATE_STATE;
}

/*
 * gate_set() writes the word and wakes accepts that are blocked at the gate.  Processes in a wait
 * (poll and the like) notice after generation_tell(), which must follow the last gate_set().
 */
void gate_set(struct generation *generation, uint32_t listener, uint32_t word);
void generation_tell(struct generation *generation);

/* Closes the gate of a listener that is about to end. */
void gate_end(struct generation *generation, uint32_t listener);

/* Puts a listener on its board, or updates it there. */
void generation_take(struct generation *generation, uint32_t listener, enum holding holding,
        uint64_t inode, bool nonblock, uint32_t word);

/* How many accepts its live processes have between reservation and return. */
unsigned generation_inflight(const struct generation *generation);

/* What its processes say: does one of them wait for connections there?  Its O_NONBLOCK. */
bool generation_waits_on(const struct generation *generation, uint32_t listener);
bool generation_nonblock(const struct generation *generation, uint32_t listener);

/* Does one of its processes wait for connections on any listener it holds? */
bool generation_waits(const struct generation *generation);

/* Sums over the slots.  Processes of the daemon write the slots: these are hints. */
uint64_t generation_accepted(const struct generation *generation);
uint64_t generation_datagrams(const struct generation *generation);
uint64_t generation_open_hint(const struct generation *generation);

/* Does a process other than the first one live that accepts connections (has a slot)? */
bool generation_has_workers(const struct generation *generation);

/* Has it ended in a way that counts for --restart=on-failure? */
bool generation_has_failed(const struct generation *generation);

/* Have all its processes ended?  Its keeper is not reaped here. */
bool generation_has_ended(const struct generation *generation);

/* Prints how a process ended: "exited with status 1", "was killed by SIGSEGV". */
void status_print(int status, char *text, size_t size);

/* Prints "; its last output: ..." with the last telling line of its stderr, or "". */
void generation_last_output(const struct generation *generation, char *text, size_t size);
