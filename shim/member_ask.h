/* SPDX-License-Identifier: MIT */
/*
 * Questions to the launcher.  Each question is one connection with one request and one reply
 * (shim/contract.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/contract.h"

/*
 * Takes the launcher's address, the generation and the token from `variable`, the value of MOULT.
 * False if the value is not of this version of the contract.
 */
bool member_find_launcher(const char *variable);

/*
 * Asks one question.  `fd` and `other` (each may be -1) are sent along, and stay the caller's.
 * *ret_fd (may be NULL) is set to the first descriptor of the reply, CLOEXEC, for the caller to
 * close, or to -1.
 *
 * Returns the error in the reply, or -errno if the launcher cannot be asked: -ECONNREFUSED if it
 * has died, or another process has its address; -ETIMEDOUT after MOULT_REPLY_SECONDS in all.
 */
int member_ask(struct moult_request *request, int fd, int other, struct moult_reply *ret_reply,
        int *ret_fd);

/* The same, but not later than `deadline` (member_clock()). */
int member_ask_until(int64_t deadline, struct moult_request *request, int fd, int other,
        struct moult_reply *ret_reply, int *ret_fd);

/* The same without a reply. */
void member_tell(struct moult_request *request, int fd);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t member_clock(void);

/* member_ask() without descriptors of the caller's, and with all descriptors of the reply. */
int member_ask_for_all(struct moult_request *request, struct moult_reply *ret_reply,
        int ret_fds[MOULT_DESCRIPTORS]);

/*
 * How long a question may take in milliseconds if an answer is not expected: the launcher did not
 * answer a short while ago, or the answer matters little.
 */
enum { MEMBER_SHORT = 500 };

/* Puts an address into a request. */
void member_set_address(
        struct moult_request *request, const struct sockaddr *address, socklen_t length);
