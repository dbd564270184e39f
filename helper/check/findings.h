/* SPDX-License-Identifier: MIT */
/* What `moult check` has found, and says. */
#pragma once

#include "helper/base/util.h"
#include "helper/check/chain.h"

enum severity { SEVERITY_OK, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_REFUSED };

enum { FINDINGS_MAX = 32, FINDING_TEXT_MAX = 640 };

struct finding {
	enum severity severity;
	const char *id;                /* for programs; stays the same in later versions */
	char text[FINDING_TEXT_MAX];   /* what it means: a sentence that begins with a path */
	char advice[FINDING_TEXT_MAX]; /* what to do about it; may be empty */
};

struct findings {
	struct finding list[FINDINGS_MAX];
	size_t count;
};

/* The one that is added, for its `advice`; more than FINDINGS_MAX replace the last. */
struct finding *findings_add(struct findings *findings, enum severity severity, const char *id,
        const char *format, ...) PRINTF(4, 5);

/* What the code and the strings of the last program in the chain hint at. */
void findings_search(const struct chain *chain, struct findings *findings);
