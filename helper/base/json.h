/* SPDX-License-Identifier: MIT */
/* Prints strings in JSON. The rest of JSON needs no function. */
#pragma once

#include <stdio.h>

/*
 * Adds the quotes.  Each byte above 126 is written as a Latin-1 character: the encoding is unknown.
 */
void json_string(FILE *out, const char *text);
