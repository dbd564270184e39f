/* SPDX-License-Identifier: MIT */
/* Untrusted files are judged in a process apart from the launcher. */
#include "helper/check/inspection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/printable.h"
#include "helper/base/util.h"
#include "helper/process/apart.h"

struct report {
	int32_t error;    /* 0 or -errno */
	uint32_t verdict; /* enum inspect_verdict */
	char reason[400];
};

static void work(void *context, void *to, int *ret_pinned)
{
	struct report *report = to;
	enum inspect_verdict verdict = INSPECT_UNKNOWN;

	(void)ret_pinned;
	report->error = inspect_command(context, &verdict, report->reason, sizeof(report->reason));
	report->verdict = verdict;
}

/* Could work() have written this, and is it a judgement? A file may have taken the process over. */
static bool is_judgement(struct report *report)
{
	report->reason[sizeof(report->reason) - 1] = '\0';
	printable_make(report->reason);
	if (report->error > 0 || report->error < -4095 || report->error == -ENOMEM)
		return false;
	return report->error < 0 || report->verdict < INSPECT_UNKNOWN;
}

int inspection_run(
        char *const command[], enum inspect_verdict *ret_verdict, char *reason, size_t size)
{
	const struct apart apart = {.work = work,
	        .context = (void *)(uintptr_t)command,
	        .size = sizeof(struct report),
	        .keep = -1};
	const char *why = "the inspecting process ended without a result";
	struct report report;
	int result;

	inspect_prepare();
	result = apart_run(&apart, &report, NULL);
	if (result == 0 && is_judgement(&report)) {
		*ret_verdict = report.verdict;
		(void)snprintf(reason, size, "%s", report.reason);
		return report.error;
	}
	if (result == -ETIMEDOUT)
		why = "its files do not answer in time";
	else if (result < 0 && result != -ECHILD)
		why = strerror(-result);
	*ret_verdict = INSPECT_UNKNOWN;
	(void)snprintf(reason, size, "%.200s could not be inspected (%s); it is tried as it is",
	        command[0], why);
	printable_make(reason);
	return 0;
}
