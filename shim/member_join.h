/* SPDX-License-Identifier: MIT */
/* How this process becomes a member of a generation. */
#pragma once

/*
 * Joins the generation that `variable` (the value of MOULT) names.  Any failure leaves the process
 * inert: the daemon then runs as it would without us.
 */
void member_join(const char *variable);
