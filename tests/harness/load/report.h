/* SPDX-License-Identifier: MIT */
/* The report: one line, one JSON object. */
#pragma once

void report(const char *kind);
