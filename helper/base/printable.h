/* SPDX-License-Identifier: MIT */
/*
 * Text from programs, paths and other users, before a person reads it on a terminal or in a log.
 *
 * Kept are the printable characters of UTF-8. Everything that moves a cursor, begins an escape
 * sequence, ends a line or changes the direction of writing becomes one "?", and so does each byte
 * that is no UTF-8.
 */
#pragma once

#include <stdio.h>

/* In place; the result may be shorter. */
void printable_make(char *text);

void printable_write(FILE *out, const char *text);
