/* SPDX-License-Identifier: MIT */
/* Times, signals and names, as people write and read them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/base/util.h"

/* 500ms, 1.5s, 5m, 1h, infinity; a number without a unit is refused. 0 or -EINVAL. */
int duration_parse(const char *text, nanoseconds *ret_duration);
/* "310 ms", "4.2 s", "5 min", "no limit". */
void duration_print(nanoseconds duration, char *text, size_t size);
/* TERM, SIGTERM, term, RTMIN+1, 15. 0 or -EINVAL. */
int signal_parse(const char *text, int *ret_signal);
/* Writes "SIGTERM", "SIGRTMIN+1" or "signal 77" to `text` and returns `text`. */
const char *signal_print(int signal, char *text, size_t size);

/* The name of an instance: 1 to 64 of [A-Za-z0-9._@-], not starting with '.' or '-'. */
bool name_is_valid(const char *name);

/* The text is one decimal number in [least, most], without a sign. False: it is not. */
bool number_parse(const char *text, long least, long most, int *ret_number);
