/* SPDX-License-Identifier: MIT */
/* How an operator's command reports its own failure. The launcher logs instead (log.h). */
#pragma once

#include "helper/base/util.h"

/* Writes "moult: ...", one line, to stderr, after all that stdout still holds. Returns `status`. */
int fail(int status, const char *format, ...) PRINTF(2, 3);
