/* SPDX-License-Identifier: MIT */
/*
 * Counts accepted connections in this process's slot.
 *
 * The count is a hint for the launcher and the operator.  It is cheap and often wrong (fclose, raw
 * system calls, fork).  Whether a generation is empty is decided by helper/kernel/audit.h.
 */
#pragma once

#include <stdbool.h>

void connection_opened(int fd);
void connection_closing(int fd);

/*
 * Has this process been forked from one that accepted, and accepted nothing itself?  If it has a
 * client, a socket on which it begins to listen is for that client: FTP's passive mode, a forwarded
 * port.
 */
bool connection_is_session(void);

/* Has this process itself accepted, so that it may have clients? */
bool connection_is_acceptor(void);
