/* SPDX-License-Identifier: MIT */
/*
 * The answers to `moult status` and `moult list`.  Numbers come from the last count
 * (state/survey.h).
 */
#pragma once

#include "helper/state/instance.h"

/* Allocated text, which the caller frees; NULL: no memory. */
char *status_text(struct instance *instance);
char *status_json(struct instance *instance);
char *status_line(struct instance *instance);
