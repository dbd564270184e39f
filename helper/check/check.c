/* SPDX-License-Identifier: MIT */
/*
 * moult check: the judgement of run and upgrade, further findings about the program, and advice.
 *
 * The JSON is a contract: fields and ids are added, never changed.
 */
#include "helper/check/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/fail.h"
#include "helper/base/json.h"
#include "helper/base/printable.h"
#include "helper/base/verb.h"
#include "helper/check/inspect.h"
#include "helper/process/preload.h"

static const char *const severities[] = {
        [SEVERITY_OK] = "ok",
        [SEVERITY_NOTE] = "note",
        [SEVERITY_WARNING] = "warning",
        [SEVERITY_REFUSED] = "refused",
};

static const char *const kinds[] = {
        [CHAIN_SCRIPT] = "script",
        [CHAIN_WRAPPER] = "wrapper",
        [CHAIN_PROGRAM] = "program",
};

static const struct {
	const char *id;
	const char *advice;
} verdicts[] = {
        [INSPECT_FINE] = {"loads", ""},
        [INSPECT_STATIC] = {"static", "use a dynamically linked build of it"},
        [INSPECT_SECURE] = {"privileged",
                "start it as the user it changes to, or give these rights to the process (run "
                "moult as root) instead of the file"},
        [INSPECT_GO] = {"go", "stop and start it, or put a proxy before it that can be upgraded"},
        [INSPECT_FOREIGN] = {"foreign",
                "use a program, or a moult, that is built for the same processor"},
        [INSPECT_HIDDEN] = {"hidden", ""},
        [INSPECT_ELSEWHERE] = {"elsewhere", "let moult start the program itself"},
        [INSPECT_UNKNOWN] = {"unknown", ""},
};

/* ---- finding ---- */

static void find_verdict(const struct chain *chain, int error, struct findings *findings)
{
	enum inspect_verdict verdict;
	char reason[400], library[PATH_MAX];
	struct finding *finding;
	size_t step;
	int result = inspect_chain(chain, error, &verdict, reason, sizeof(reason), &step);

	if (result < 0) {
		bool missing = result == -ENOENT || result == -ENOTDIR;

		finding = findings_add(findings, SEVERITY_REFUSED,
		        missing ? "missing" : "not-executable", "%s", reason);
		(void)snprintf(finding->advice, sizeof(finding->advice), "%s",
		        missing ? "look for a wrong name, a wrong PATH, or a package to install"
		                : "look at its mode, and at what is named in its first line");
		return;
	}
	if (verdict == INSPECT_FINE) {
		(void)findings_add(findings, SEVERITY_OK, verdicts[verdict].id,
		        "%.300s is dynamically linked: the library gets into it",
		        chain->steps[step].path);
		return;
	}
	finding = findings_add(findings, SEVERITY_REFUSED, verdicts[verdict].id, "%s", reason);
	(void)snprintf(finding->advice, sizeof(finding->advice), "%s", verdicts[verdict].advice);
	if (verdict == INSPECT_HIDDEN && preload_library(library, sizeof(library)) == 0)
		(void)snprintf(finding->advice, sizeof(finding->advice),
		        "have %.300s under the same path in there (a copy or a bind mount)",
		        library);
}

static void find_all(const struct chain *chain, int error, struct findings *findings)
{
	find_verdict(chain, error, findings);
	for (size_t i = 0; i < chain->count; i++) {
		const struct chain_step *step = &chain->steps[i];
		struct finding *finding;

		if (!step->once)
			continue;
		finding = findings_add(findings, SEVERITY_WARNING, "runs-once", "%.300s %s",
		        step->path, step->once);
		(void)snprintf(finding->advice, sizeof(finding->advice),
		        "have moult run the program without it");
	}
	if (*chain->doubt) {
		struct finding *finding = findings_add(
		        findings, SEVERITY_NOTE, "doubt", "%s; the check ends there", chain->doubt);

		(void)snprintf(finding->advice, sizeof(finding->advice),
		        "check the program that it starts as well");
	}
	if (error == 0 && findings->list[0].severity == SEVERITY_OK)
		findings_search(chain, findings);
}

static const struct finding *first_refusal(const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		if (findings->list[i].severity == SEVERITY_REFUSED)
			return &findings->list[i];
	return NULL;
}

/* ---- saying ---- */

static void print_line(const char *severity, const char *text, const char *advice)
{
	(void)printf("%-8s ", severity);
	printable_write(stdout, text);
	if (*advice) {
		(void)fputs("; ", stdout);
		printable_write(stdout, advice);
	}
	(void)putchar('\n');
}

static void print_text(
        const char *program, const struct chain *chain, const struct findings *findings)
{
	const struct finding *refusal = first_refusal(findings);
	const char *slash = strrchr(program, '/');

	for (size_t i = 0; i + 1 < chain->count; i++) {
		char text[2 * PATH_MAX + 32];

		(void)snprintf(text, sizeof(text), "%s is a %s: runs %s", chain->steps[i].path,
		        kinds[chain->steps[i].kind], chain->steps[i + 1].path);
		print_line("ok", text, "");
	}
	for (size_t i = 0; i < findings->count; i++)
		print_line(severities[findings->list[i].severity], findings->list[i].text,
		        findings->list[i].advice);
	printable_write(stdout, slash && slash[1] ? slash + 1 : program);
	(void)fputs(refusal ? ": cannot be upgraded: " : ": can be upgraded", stdout);
	printable_write(stdout, refusal ? refusal->text : "");
	(void)putchar('\n');
}

static void print_pair(const char *before, const char *text)
{
	(void)fputs(before, stdout);
	json_string(stdout, text);
}

static void print_json(
        const char *program, const struct chain *chain, const struct findings *findings)
{
	print_pair("{\"program\":", program);
	print_pair(",\"path\":", chain->count ? chain->steps[chain->count - 1].path : "");
	print_pair(",\"result\":", first_refusal(findings) ? "no" : "yes");
	(void)fputs(",\"chain\":[", stdout);
	for (size_t i = 0; i < chain->count; i++) {
		print_pair(i > 0 ? ",{\"path\":" : "{\"path\":", chain->steps[i].path);
		print_pair(",\"kind\":", kinds[chain->steps[i].kind]);
		(void)putchar('}');
	}
	(void)fputs("],\"findings\":[", stdout);
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		print_pair(i > 0 ? ",{\"id\":" : "{\"id\":", finding->id);
		print_pair(",\"severity\":", severities[finding->severity]);
		print_pair(",\"text\":", finding->text);
		print_pair(",\"advice\":", finding->advice);
		(void)putchar('}');
	}
	(void)fputs("]}\n", stdout);
}

const struct finding *check_find(char *const command[], struct findings *findings)
{
	int error = 0;
	struct chain *chain = chain_new(command, &error);

	findings->count = 0;
	if (!chain)
		return findings_add(findings, SEVERITY_REFUSED, "unknown", "out of memory");
	find_all(chain, error, findings);
	free(chain);
	return first_refusal(findings);
}

int check_run(char *const command[], bool json)
{
	static struct findings findings;
	int error = 0;
	bool refused;
	struct chain *chain = chain_new(command, &error);

	if (!chain)
		return fail(EXIT_FAILED, "out of memory");
	findings.count = 0;
	find_all(chain, error, &findings);
	(json ? print_json : print_text)(command[0], chain, &findings);
	refused = first_refusal(&findings) != NULL;
	free(chain);
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail(EXIT_FAILED, "cannot write the answer: %s", strerror(errno));
	return refused ? EXIT_FAILED : EXIT_DONE;
}
