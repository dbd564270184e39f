/* SPDX-License-Identifier: MIT */
/*
 * Counting accepted connections in this process's slot.
 *
 * A hint for the launcher and the operator, cheap and often wrong (fclose, raw system calls, fork);
 * whether a generation is empty is decided by helper/kernel/audit.h.
 */
#pragma once

#include <stdbool.h>

void connection_opened(int fd);
void connection_closing(int fd);

/*
 * Has this process been forked from one that accepted, and accepted nothing itself?  If it has a
 * client, what it comes to listen on is for that one: FTP's passive mode, a forwarded port.
 */
bool connection_is_session(void);

/* Has this process itself accepted, so that it may have clients? */
bool connection_is_acceptor(void);
