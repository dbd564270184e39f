/* SPDX-License-Identifier: MIT */
/* What `moult status` and `moult list` say. The numbers are those of the last count: helper/state/survey.h */
#pragma once

#include "helper/state/instance.h"

/* Allocated text, the caller's to free; NULL without memory. */
char *status_text(struct instance *instance);
char *status_json(struct instance *instance);
char *status_line(struct instance *instance);
