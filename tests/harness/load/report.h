/* SPDX-License-Identifier: MIT */
/* Prints the report: one line, which is one JSON object. */
#pragma once

void report(const char *kind);
