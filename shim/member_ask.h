/* SPDX-License-Identifier: MIT */
/* How the launcher is asked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/contract.h"

/* MOULT=CONTRACT:GENERATION:TOKEN:PID:UID:ADDRESS; false: it is not of this contract. */
bool member_find_launcher(const char *variable);

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

/* member_ask() without descriptors of ours, and with all of the answer's. */
int member_ask_for_all(struct moult_request *request, struct moult_reply *ret_reply,
        int ret_fds[MOULT_DESCRIPTORS]);

/* Milliseconds. */
enum { MEMBER_SHORT = 500, MEMBER_MEMORY = 60000 };

void member_set_address(
        struct moult_request *request, const struct sockaddr *address, socklen_t length);
