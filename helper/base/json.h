/* SPDX-License-Identifier: MIT */
/* The only part of JSON that is not trivial to print. */
#pragma once

#include <stdio.h>

/* In quotes; a byte of unknown encoding is shown as Latin-1. */
void json_string(FILE *out, const char *text);
