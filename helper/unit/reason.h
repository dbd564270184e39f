/* SPDX-License-Identifier: MIT */
/* Why something cannot be done: one line for the operator. */
#pragma once

#include <stddef.h>

#include "helper/base/util.h"

/* The buffer is the caller's. */
struct reason {
	char *text;
	size_t size;
};

/* Writes the line and returns -1. */
int refuse(const struct reason *reason, const char *format, ...) PRINTF(2, 3);
