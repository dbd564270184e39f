/* SPDX-License-Identifier: MIT */
/* How this process becomes a member of a generation. */
#pragma once

/*
 * Joins the generation that `variable` (the value of MOULT) names.  After any failure the process
 * is no member, and the daemon runs as it would without the library.
 */
void member_join(const char *variable);
