/* SPDX-License-Identifier: MIT */
/* Runs systemctl(1): without a shell, and with the process attributes that moult was started with. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { SYSTEMCTL_WORDS_MAX = 32 };

/*
 * Runs `systemctl WORDS...`; `words` ends with NULL.  Standard error is the caller's.  Returns the
 * exit status, or -errno if it cannot be run; -EINTR: a signal has ended it.
 */
int systemctl_run(const char *const words[]);

/* The same, and *ret_text is its output, which the caller frees; set also for another status. */
int systemctl_read(const char *const words[], char **ret_text);

/*
 * The value in a line "KEY=VALUE" of the output of `systemctl show -p KEY...`.  Copies it, and
 * returns false if there is no such line or no room for the value.  Ask only for properties whose
 * values have no newline.
 */
bool systemctl_property(const char *text, const char *key, char *value, size_t size);
