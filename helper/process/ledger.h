/* SPDX-License-Identifier: MIT */
/*
 * What the keepers need to know when the launcher is dead or stopped.
 *
 * The ledger is anonymous memory that the launcher makes at its start and that its keepers inherit
 * by fork().  No process of the daemon has it: execve() drops it.  It says for each generation and
 * listener at what the gate is, so that a keeper can tell which generation is to serve.
 *
 * A keeper holds a POSIX lock as long as it runs.  The kernel drops the lock when the keeper ends,
 * however that comes about, so nobody has to trust a pid to know whether a generation lives.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/base/util.h"
#include "shim/contract.h"

struct ledger_entry;

/* ---- the launcher ---- */

/* Once, before anything else here.  0 or -errno. */
int ledger_open(void);

/* In a child that is no keeper. */
void ledger_unmap(void);

/* A place for a generation; NULL: there is none left. */
struct ledger_entry *ledger_enroll(uint32_t generation);
/* NULL is allowed.  The keeper has ended. */
void ledger_strike_off(struct ledger_entry *entry);

/*
 * The gate is at `word` (gate_set() says so).  Opening: before the board says the same; closing:
 * afterwards.  So a launcher that is killed in between leaves a gate that the ledger calls open and
 * the board does not, and never the other way round.  The board's own keeper corrects the ledger.
 */
void ledger_note(struct ledger_entry *entry, uint32_t listener, uint32_t word);

/* The socket is about to end: no keeper opens that gate again. */
void ledger_forget(struct ledger_entry *entry, uint32_t listener);

/* The generation has been told to end: it serves if nobody else can. */
void ledger_is_stopping(struct ledger_entry *entry);

/* The operator wants the instance to end: keepers tell the daemon so if the launcher cannot. */
void ledger_announce_end(void);

/*
 * Gates are about to change, and have been changed and told to those who wait: gate_set() and
 * generation_tell().  From the first on each keeper looks from time to time, until all is told and
 * somebody serves.
 */
void ledger_begin(void);
void ledger_end(void);

/* Its pid may be another process's from now on. */
void ledger_keeper_ended(struct ledger_entry *entry);

/* Have keepers opened gates since the last call? */
bool ledger_was_used(void);

/* ---- a keeper ---- */

/* The calling process is that generation's keeper, until it ends.  0 or -errno. */
int ledger_keep(struct ledger_entry *entry);
/* Its last process has ended.  The other keepers look. */
void ledger_leave(struct ledger_entry *entry);

/* The descriptor that the locks depend on: it must stay open. */
int ledger_descriptor(void);

pid_t ledger_launcher(void);
bool ledger_is_ending(void);
bool ledger_is_told(const struct ledger_entry *entry);

/*
 * Keepers decide one after the other.  False: another one is at it.  All that follows is true of
 * the time until ledger_unlock().
 */
bool ledger_lock(const struct ledger_entry *entry);
void ledger_unlock(void);

/* Is a generation but this one left, and an older one? */
bool ledger_has_others(void);

/*
 * Is `entry` the generation that is to serve this listener?  The one whose gate is open; else the
 * newest that holds the listener and has not been told to end; else the newest that holds it.
 */
bool ledger_is_heir(const struct ledger_entry *entry, uint32_t listener);

/* Are there changes that have not been told? */
bool ledger_is_begun(void);

/* What the board of `entry` says, which is right. */
void ledger_correct(struct ledger_entry *entry, uint32_t listener, uint32_t word);

/* Tells a launcher that lives that keepers open gates, before and after they do. */
void ledger_use(void);

/* The beginning and end of "looks from time to time", for ledger_begin(). */
void ledger_set_alert(struct ledger_entry *entry, bool looks);
