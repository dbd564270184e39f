/* SPDX-License-Identifier: MIT */
/* Times, signals and names, as people write and read them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/base/util.h"

/* 500ms, 30s, 5m, 1h, infinity; a bare number is not a time. 0 or -EINVAL. */
int duration_parse(const char *text, nanoseconds *ret_duration);
/* "310 ms", "4.2 s", "5 min", "no limit": for people. */
void duration_print(nanoseconds duration, char *text, size_t size);
/* TERM, SIGTERM, term, 15. 0 or -EINVAL. */
int signal_parse(const char *text, int *ret_signal);
/* "SIGTERM"; never NULL. */
const char *signal_print(int signal, char *text, size_t size);

/* A name is a file name of at most 64 of [A-Za-z0-9._@-], not starting with '.' or '-'. */
bool name_is_valid(const char *name);

/* A decimal number in [least, most], and nothing else; false: not one. */
bool number_parse(const char *text, long least, long most, int *ret_number);
