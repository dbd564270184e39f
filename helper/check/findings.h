/* SPDX-License-Identifier: MIT */
/* The findings of `moult check` about a command. */
#pragma once

#include "helper/base/util.h"
#include "helper/check/chain.h"

enum severity { SEVERITY_OK, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_REFUSED };

enum { FINDINGS_MAX = 32, FINDING_TEXT_MAX = 640 };

struct finding {
	enum severity severity;
	const char *id;                /* for programs that read the JSON; later versions keep it */
	char text[FINDING_TEXT_MAX];   /* a sentence that begins with a path */
	char advice[FINDING_TEXT_MAX]; /* what to do; may be empty */
};

struct findings {
	struct finding list[FINDINGS_MAX];
	size_t count;
};

/* Adds a finding and returns it, so that `advice` can be filled in. A full list loses its last. */
struct finding *findings_add(struct findings *findings, enum severity severity, const char *id,
        const char *format, ...) PRINTF(4, 5);

/*
 * Adds what the code, imports and strings of the chain's last program, and its libraries, hint at.
 */
void findings_search(const struct chain *chain, struct findings *findings);
