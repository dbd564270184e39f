/* SPDX-License-Identifier: MIT */
/*
 * Makes text from programs, paths and other users safe to show on a terminal or in a log.
 *
 * Printable characters of UTF-8 stay.  A character that moves the cursor, begins an escape
 * sequence, ends a line or changes the direction of writing becomes one "?", and so does each byte
 * that is not UTF-8.
 */
#pragma once

#include <stdio.h>

/* In place; the result may be shorter. */
void printable_make(char *text);

void printable_write(FILE *out, const char *text);
