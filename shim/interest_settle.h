/* SPDX-License-Identifier: MIT */
/*
 * Brings the kernel's epoll entries in line with the records and the gates.  Several threads may do
 * so at the same time (why the result is right: interest_settle.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "shim/interest_record.h"

/* What the kernel should have, by the record and the gate as they are now. */
struct aim {
	uint32_t goal;
	struct epoll_event event;
};

struct aim aim_of(struct interest *record);

bool record_is_settled(struct interest *record);

/*
 * Brings the kernel's entry in line with the record, which is held.  `doubtful`: this thread has
 * already made a system call for a request of the daemon's, so `act` does not say what the kernel
 * has.  `event`: the event that this thread has put into the kernel itself, or NULL.
 */
void record_settle(struct interest *record, bool doubtful, const struct epoll_event *event);

/*
 * Draws a number for a request of the daemon's, which no other thread shares.  *ret_before: the
 * value of `act` before.
 */
uint64_t act_request(struct interest *record, uint64_t *ret_before);

/*
 * The kernel has done the request numbered `mine`, and has `is_held` now.  True: no other thread
 * has drawn a number since, so this is known for certain.
 */
bool act_answer(struct interest *record, uint64_t mine, uint32_t is_held);

/*
 * The kernel has refused the request numbered `mine`: what was under way before goes on under that
 * number.
 */
void act_refuse(struct interest *record, uint64_t mine, uint64_t before);

/* Settles all records.  Cheap if all of them are settled already. */
void interest_settle(void);
