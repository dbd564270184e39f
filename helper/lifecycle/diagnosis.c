/* SPDX-License-Identifier: MIT */
/* Why a generation may never be ready. */
#include "helper/lifecycle/diagnosis.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "helper/base/log.h"
#include "helper/kernel/audit.h"
#include "helper/kernel/descriptors.h"
#include "helper/kernel/tree.h"
#include "helper/lifecycle/not_preloaded.h"
#include "helper/process/errand.h"
#include "helper/process/preload.h"

/* Has exec changed the privileges of the process?  Then its loader has ignored LD_PRELOAD. */
static bool is_secure(pid_t pid)
{
	char path[32];
	unsigned long entry[2];
	bool secure = false;
	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	FILE *auxv = fopen(path, "re");
	while (auxv && fread(entry, sizeof(entry), 1, auxv) == 1 && entry[0] != AT_NULL)
		secure |= entry[0] == AT_SECURE && entry[1];
	if (auxv)
		(void)fclose(auxv);
	return secure;
}

static bool is_held_securely(const struct pid_set *processes, uint64_t inode)
{
	bool found = false;
	for (size_t i = 0; i < processes->count && !found; i++) {
		struct pid_set one = {.pids = &processes->pids[i], .count = 1};
		struct inode_set sockets = {0};
		size_t unreadable, in_flight;
		found = is_secure(processes->pids[i]) &&
		        audit_sockets(&one, &sockets, &unreadable, &in_flight) == 0 &&
		        inode_set_has(&sockets, inode);
		inode_set_deinit(&sockets);
	}
	return found;
}

/* Finds a socket that the processes listen on and that is not in the store. */
static bool find_unseen_listener(const struct instance *instance, const struct pid_set *processes,
        char *address, size_t size, bool *ret_secure)
{
	struct inode_set sockets = {0};
	struct audit_listener *rows = NULL;
	size_t count = 0, unreadable, in_flight;
	bool found = false;
	if (audit_sockets(processes, &sockets, &unreadable, &in_flight) == 0 &&
	        audit_listeners(&rows, &count) == 0)
		for (size_t i = 0; i < count && !found; i++)
			if (inode_set_has(&sockets, rows[i].inode) &&
			        fdstore_find_inode(&instance->store, rows[i].inode) < 0) {
				snprintf(address, size, ":%u", rows[i].port);
				*ret_secure = is_held_securely(processes, rows[i].inode);
				found = true;
			}
	free(rows);
	inode_set_deinit(&sockets);
	return found;
}

/* ---- in a child: the root directory of a process may be on a file system that hangs ---- */

struct hint {
	bool listens, secure, explained, uses_io_uring;
	char address[32], text[PATH_MAX + 512];
};

static int look(const void *question, void *answer)
{
	const struct generation *generation = *(const struct generation *const *)question;
	struct hint *hint = answer;
	char library[PATH_MAX];
	struct pid_set processes = {0};
	int result = tree_list(generation->keeper, &processes);
	if (result < 0)
		return result;
	if (generation->held) {
		hint->uses_io_uring = audit_uses_io_uring(&processes);
		return 0;
	}
	hint->listens = find_unseen_listener(generation->instance, &processes, hint->address,
	        sizeof(hint->address), &hint->secure);
	/* A wrapper may have started the daemon in another root directory or network. */
	hint->explained =
	        !hint->secure && preload_library(library, sizeof(library)) == 0 &&
	        not_preloaded_explain(&processes, library, hint->text, sizeof(hint->text));
	return 0;
}

/* The loop waits no longer for the child.  A later call may have the answer. */
static const nanoseconds PATIENCE = 150 * MILLISECOND;
static struct errand errand;
static struct hint found;
static bool has_answered;
static uint32_t asked_for; /* the id of the generation that the child looks at */

static void looked(void *context, const void *answer)
{
	(void)context;
	has_answered = answer != NULL;
	if (!answer)
		return;
	found = *(const struct hint *)answer;
	found.address[sizeof(found.address) - 1] = found.text[sizeof(found.text) - 1] = '\0';
}

static bool ask(const struct generation *generation)
{
	if (asked_for != generation->id || (!has_answered && !errand.running)) {
		has_answered = false;
		if (errand_begin(&errand, look, &generation, sizeof(struct hint), looked, NULL) < 0)
			return false;
		asked_for = generation->id;
	}
	errand_wait(&errand, PATIENCE);
	bool answered = has_answered;
	has_answered = false;
	return answered;
}

/* ---- in the launcher ---- */

static const char *program_of(const struct generation *generation)
{
	const char *slash = strrchr(generation->settings.command[0], '/');
	return slash ? slash + 1 : generation->settings.command[0];
}

bool diagnose_not_preloaded(struct instance *instance, const struct generation *generation)
{
	if (generation->held || !ask(generation))
		return false;
	if (found.secure) {
		instance->verdict = INSPECT_SECURE;
		snprintf(instance->verdict_reason, sizeof(instance->verdict_reason),
		        "%s listens on %s in a process that it has executed with changed "
		        "privileges (AT_SECURE), into which no library can be loaded; it runs, but "
		        "upgrades need it to listen in the process that it starts as",
		        program_of(generation), found.address);
		log_error("%s", instance->verdict_reason);
		return true;
	}
	if (found.explained) {
		log_error("generation %u: %s", generation->id, found.text);
		return true;
	}
	if (!found.listens)
		return false;
	log_error(
	        "%s listens on %s but its call of listen() has not reached moult: either the "
	        "program makes its own system calls, as Go and static programs do, or the request "
	        "was lost; it runs, but upgrades need a dynamically linked program that uses libc",
	        program_of(generation), found.address);
	return true;
}

void diagnose_io_uring(const struct generation *generation)
{
	if (ask(generation) && found.uses_io_uring)
		log_error(
		        "generation %u: %s has an io_uring and waits for connections nowhere else: "
		        "moult can neither see nor hold back connections accepted through "
		        "io_uring; upgrades need a program that calls libc's accept()",
		        generation->id, program_of(generation));
}
