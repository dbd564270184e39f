/* SPDX-License-Identifier: MIT */
/*
 * Counting accepted connections in this process's slot.
 *
 * A hint for the launcher and the operator, cheap and often wrong (fclose, raw system calls, fork);
 * whether a generation is empty is decided by helper/audit.h.
 */
#pragma once

void connection_opened(int fd);
void connection_closing(int fd);
