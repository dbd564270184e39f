/* SPDX-License-Identifier: MIT */
/*
 * This process's membership of a generation: the shared memory, its slot there, and the way to ask
 * the launcher.  Without a launcher there is none, and every hook goes straight through to libc.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/contract.h"

/* NULL: inert. Both are set once, in the constructor, before the daemon's first instruction. */
extern const struct moult_board *member_board; /* mapped read-only */
extern struct moult_tally *member_tally;

/*
 * Joins the generation that `variable` (the value of MOULT) names.  Any failure leaves the process
 * inert: the daemon then runs as it would without us.
 */
void member_join(const char *variable);

/*
 * This process's pid, remembered; wrong in a vfork child, which shares our memory.  0: it may not
 * ask (shim/sandbox.h).
 */
pid_t member_pid(void);

/* Are we a vfork child? It must not touch what it shares with its parent. Costs a getpid. */
bool member_is_borrowed(void);

/* This very process, not one it was forked from, binds or accepts. Has it ever? */
void member_serves(void);
bool member_has_served(void);

/*
 * This process's slot.  The first call of a process asks the launcher.  Without an answer the
 * process counts in memory of its own, where the launcher does not look, and asks again when a gate
 * has changed.
 */
struct moult_slot *member_slot(void);

/* Asks for the slot now, because the question may be forbidden later. */
void member_prepare(void);

/* The slot if this process has one already, else NULL. */
struct moult_slot *member_slot_if_any(void);

/*
 * One question to the launcher.  `fd` and `other` (each or -1) go along and stay ours; *ret_fd (may
 * be NULL) gets the descriptor of the answer, CLOEXEC, or -1, and belongs to the caller.  Returns
 * the answer's error, or -errno when the launcher cannot be asked: -ECONNREFUSED when it has died or
 * another process has its address, -ETIMEDOUT after MOULT_REPLY_SECONDS in all.
 */
int member_ask(struct moult_request *request, int fd, int other, struct moult_reply *ret_reply,
        int *ret_fd);

/* The same with a deadline of the caller's, by member_clock(), should that come first. */
int member_ask_until(int64_t deadline, struct moult_request *request, int fd, int other,
        struct moult_reply *ret_reply, int *ret_fd);

/* The same without an answer; `fd` goes along. */
void member_tell(struct moult_request *request, int fd);

/* Milliseconds of a clock that only goes forward. */
int64_t member_clock(void);
