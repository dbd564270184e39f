/* SPDX-License-Identifier: MIT */
/* Brings the kernel's entries in line with the records and the gates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "shim/interest_record.h"

/* What the kernel should have, as the record and the gate are now. */
struct aim {
	uint32_t goal;
	struct epoll_event event;
};

struct aim aim_of(struct interest *record);

bool record_is_settled(struct interest *record);

/*
 * Brings the held record and the kernel together.  `doubtful`: a call that went past `act` was made
 * before; `event`: what this thread is known to have put there itself, or NULL.
 */
void record_settle(struct interest *record, bool doubtful, const struct epoll_event *event);

/* A number for a request of the daemon's, which nobody shares; *ret_before: what `act` was. */
uint64_t act_request(struct interest *record, uint64_t *ret_before);

/* True: nobody has drawn a number since, and the entry is as told. */
bool act_answer(struct interest *record, uint64_t mine, uint32_t is_held);

/* The kernel has refused: what was under way goes on under the request's number. */
void act_refuse(struct interest *record, uint64_t mine, uint64_t before);

/* Makes the kernel's lists agree with the gates. Cheap when they do. */
void interest_settle(void);
