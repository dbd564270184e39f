/* SPDX-License-Identifier: MIT */
/*
 * The ledger: what the keepers need to know when the launcher is dead or stopped.
 *
 * The ledger is anonymous memory that the launcher makes at its start.  Its keepers inherit the
 * memory by fork().  No process of the daemon has it, because execve() drops it.  The ledger says
 * for each generation and listener in which state the gate is, so that a keeper can tell which
 * generation is to serve.
 *
 * A keeper holds a POSIX lock as long as it runs.  The kernel drops the lock when the keeper ends,
 * however it ends.  So the lock, and no pid, tells whether a generation lives.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/base/util.h"
#include "shim/contract.h"

struct ledger_entry;

/* ---- the launcher ---- */

/* Makes the ledger.  Call once, before any other function here.  0 or -errno. */
int ledger_open(void);

/* Unmaps the ledger.  In a child that is not a keeper. */
void ledger_unmap(void);

/* An entry for a generation; NULL: none is left. */
struct ledger_entry *ledger_enroll(uint32_t generation);

/* Frees the entry (NULL: none) when the keeper has ended. */
void ledger_strike_off(struct ledger_entry *entry);

/*
 * Notes that the gate is at `word`; gate_set() calls this.  Before the board is written when the
 * gate opens, and after the board is written when it closes.  So a launcher that is killed in
 * between leaves a gate that is open in the ledger and not on the board, and never the other way
 * round.  The generation's keeper corrects the ledger from the board.
 */
void ledger_note(struct ledger_entry *entry, uint32_t listener, uint32_t word);

/* Call when the socket is about to end: no keeper opens that gate again. */
void ledger_forget(struct ledger_entry *entry, uint32_t listener);

/* Notes that the generation has been told to end: it serves only if no other can. */
void ledger_is_stopping(struct ledger_entry *entry);

/* Notes that the instance is to end: keepers send the stop signal if the launcher cannot. */
void ledger_announce_end(void);
/* The opposite: the keepers are to leave their generations alone when the launcher has ended. */
void ledger_retract_end(void);

/*
 * _begin: gates are about to change (called by gate_set()).  _end: they have been changed, and the
 * waiters have been told (called by generation_tell()).  From _begin on each keeper looks from time
 * to time, until _end and until a generation serves.
 */
void ledger_begin(void);
void ledger_end(void);

/* Notes that the keeper has ended: its pid may be another process's from now on. */
void ledger_keeper_ended(struct ledger_entry *entry);

/* Have keepers opened gates since the last call? */
bool ledger_was_used(void);

/* ---- a keeper ---- */

/* Makes the calling process that generation's keeper, until it ends.  0 or -errno. */
int ledger_keep(struct ledger_entry *entry);

/* The generation's last process has ended.  Makes the other keepers look. */
void ledger_leave(struct ledger_entry *entry);

/* The descriptor on which the locks depend.  It must stay open. */
int ledger_descriptor(void);

/* The launcher's pid; what ledger_announce_end() and ledger_is_stopping() have noted. */
pid_t ledger_launcher(void);
bool ledger_is_ending(void);
bool ledger_is_told(const struct ledger_entry *entry);

/*
 * Keepers decide one after the other, under this lock.  False: another keeper has it.  Call the
 * functions below between ledger_lock() and ledger_unlock().
 */
bool ledger_lock(const struct ledger_entry *entry);
void ledger_unlock(void);

/* Is more than one generation left? */
bool ledger_has_others(void);

/*
 * Is `entry` the heir, the generation that is to serve this listener?  The heir is the generation
 * whose gate is open; else the newest that holds the listener and has not been told to end; else
 * the newest that holds the listener.
 */
bool ledger_is_heir(const struct ledger_entry *entry, uint32_t listener);

/* Is there a ledger_begin() without its ledger_end()? */
bool ledger_is_begun(void);

/* Corrects the ledger: the board of `entry` has `word`. */
void ledger_correct(struct ledger_entry *entry, uint32_t listener, uint32_t word);

/* For ledger_was_used(): tells a launcher that lives.  Call before and after opening gates. */
void ledger_use(void);

/* Notes whether the keeper looks from time to time, so that ledger_begin() need not signal it. */
void ledger_set_alert(struct ledger_entry *entry, bool looks);
