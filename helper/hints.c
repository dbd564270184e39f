/* SPDX-License-Identifier: MIT */
/* Why a generation may never be ready. */
#include "helper/hints.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "helper/audit.h"
#include "helper/log.h"
#include "helper/preload.h"
#include "helper/unseen.h"

/* Was it executed with other privileges than its caller's, so that the loader ignores LD_PRELOAD? */
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

/* A socket that the generation listens on without having told us: it makes its own system calls. */
static bool find_unseen_listener(const struct instance *instance,
        const struct generation *generation, char *address, size_t size, bool *ret_secure)
{
	struct pid_set processes = {0};
	struct inode_set sockets = {0};
	struct audit_listener *rows = NULL;
	size_t count = 0, unreadable, in_flight;
	bool found = false;
	if (tree_list(generation->keeper, &processes) == 0 &&
	        audit_sockets(&processes, &sockets, &unreadable, &in_flight) == 0 &&
	        audit_listeners(&rows, &count) == 0)
		for (size_t i = 0; i < count && !found; i++)
			if (inode_set_has(&sockets, rows[i].inode) &&
			        fdstore_find_inode(&instance->store, rows[i].inode) < 0) {
				snprintf(address, size, ":%u", rows[i].port);
				*ret_secure = is_held_securely(&processes, rows[i].inode);
				found = true;
			}
	free(rows);
	inode_set_deinit(&sockets);
	pid_set_deinit(&processes);
	return found;
}

static const char *program_of(const struct generation *generation)
{
	const char *slash = strrchr(generation->settings.command[0], '/');
	return slash ? slash + 1 : generation->settings.command[0];
}

/* The wrapper that started it has put it where we are not. */
static bool hint_not_loaded(const struct generation *generation)
{
	char library[PATH_MAX], text[PATH_MAX + 512];
	struct pid_set processes = {0};
	bool found = preload_library(library, sizeof(library)) == 0 &&
	             tree_list(generation->keeper, &processes) == 0 &&
	             unseen_explain(&processes, library, text, sizeof(text));
	if (found)
		log_error("generation %u: %s", generation->id, text);
	pid_set_deinit(&processes);
	return found;
}

bool hint_unseen(struct instance *instance, const struct generation *generation)
{
	char address[32];
	bool secure = false;
	if (generation->held)
		return false;
	bool listens =
	        find_unseen_listener(instance, generation, address, sizeof(address), &secure);
	if (secure) {
		instance->verdict = INSPECT_SECURE;
		snprintf(instance->verdict_reason, sizeof(instance->verdict_reason),
		        "%s listens on %s in a process that it has executed with changed "
		        "privileges (AT_SECURE), into which no library can be loaded; it runs, but "
		        "upgrades need it to listen in the process that it starts as",
		        program_of(generation), address);
		log_error("%s", instance->verdict_reason);
		return true;
	}
	if (hint_not_loaded(generation))
		return true;
	if (!listens)
		return false;
	log_error("%s listens on %s but none of its calls reached moult: a Go or static program "
	          "makes its own system calls; it runs, but upgrades need a dynamically linked "
	          "program that uses libc",
	        program_of(generation), address);
	return true;
}

void hint_io_uring(const struct generation *generation)
{
	struct pid_set processes = {0};
	if (tree_list(generation->keeper, &processes) == 0 && audit_uses_io_uring(&processes))
		log_error(
		        "generation %u: %s has an io_uring and waits for connections nowhere else: "
		        "what is accepted through io_uring moult can neither see nor hold back; "
		        "upgrades need a program that accepts by libc's functions",
		        generation->id, program_of(generation));
	pid_set_deinit(&processes);
}
