/* SPDX-License-Identifier: MIT */
/*
 * Judges the file of a program, and of each wrapper before it, by the parts that decide whether
 * LD_PRELOAD works.
 *
 * A wrapper that has the library loaded passes the library on, whatever it does to its
 * environment.  A wrapper that cannot load the library is no obstacle, as long as it passes its
 * environment on.
 */
#include "helper/check/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "helper/base/file.h"
#include "helper/base/util.h"
#include "helper/check/elf.h"
#include "helper/process/lookup.h"
#include "helper/process/preload.h"

/* The parts of a sentence for the operator. */
struct subject {
	const char *asked; /* the program he wants to run */
	const char *judged;
	const char *relation; /* of `asked` to `judged`: "runs", "is run by" */
	char *reason;
	size_t size;
};

static void explain(const struct subject *subject, const char *what)
{
	if (strcmp(subject->asked, subject->judged) != 0)
		(void)snprintf(subject->reason, subject->size, "%s %s %s, which %s", subject->asked,
		        subject->relation, subject->judged, what);
	else
		(void)snprintf(subject->reason, subject->size, "%s %s", subject->judged, what);
}

/* With no_new_privs a set-uid file changes nothing. A restricted child sets it for itself. */
static bool has_no_new_privs, is_prepared;

void inspect_prepare(void)
{
	if (!is_prepared)
		has_no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	is_prepared = true;
}

/* Does executing the file change our privileges?  Then the loader ignores LD_PRELOAD. */
static bool changes_privileges(int fd, const char *path, const struct stat *status)
{
	struct statvfs system;
	bool set_uid = (status->st_mode & S_ISUID) && status->st_uid != getuid();
	/* Set-gid without the group's execute bit means mandatory locking */
	bool set_gid = (status->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
	               status->st_gid != getgid();
	ssize_t capabilities;

	if ((fd >= 0 ? fstatvfs(fd, &system) : statvfs(path, &system)) == 0 &&
	        (system.f_flag & ST_NOSUID))
		return false;
	inspect_prepare();
	if ((set_uid || set_gid) && !has_no_new_privs)
		return true;
	/* root has all capabilities already */
	if (getuid() == 0)
		return false;
	capabilities = fd >= 0 ? fgetxattr(fd, "security.capability", NULL, 0)
	                       : getxattr(path, "security.capability", NULL, 0);
	return capabilities > 0;
}

static const char *judge_elf(struct file *file, enum inspect_verdict *ret_verdict)
{
	struct elf elf;

	switch (elf_read(file, &elf)) {
	case ELF_CUT: *ret_verdict = INSPECT_FOREIGN; return "is cut short: it cannot be executed";
	case ELF_FOREIGN:
		*ret_verdict = INSPECT_FOREIGN;
		return "is built for another kind of processor than the library: upgrades are not "
		       "possible";
	case ELF_OTHER: *ret_verdict = INSPECT_FOREIGN; return "is not a program";
	case ELF_PROGRAM: break;
	}
	if (elf.is_go) {
		*ret_verdict = INSPECT_GO;
		return "is written in Go, and does not use the C library: it runs, but upgrades "
		       "are not possible";
	}
	if (elf.is_static) {
		*ret_verdict = INSPECT_STATIC;
		return "is statically linked: the library cannot be loaded into it; it runs, but "
		       "upgrades are not possible";
	}
	*ret_verdict = INSPECT_FINE;
	return NULL;
}

/* 0, and *ret_what: the clause for the operator, NULL if the file is fine; -errno. */
static int judge(const char *path, enum inspect_verdict *ret_verdict, const char **ret_what)
{
	CLEANUP(file_close) struct file file = {.fd = -1};
	char magic[SELFMAG];
	int result = file_open(&file, path);

	*ret_what = NULL;
	*ret_verdict = INSPECT_FINE;
	if (result < 0)
		return result;
	/* A file that may be executed but not read is judged by its privileges only */
	if (file.fd >= 0 && (!file_read(&file, 0, magic, sizeof(magic)) ||
	                            memcmp(magic, ELFMAG, SELFMAG) != 0)) {
		*ret_verdict = INSPECT_FOREIGN;
		*ret_what = "is not a program this system knows";
		return 0;
	}
	if (changes_privileges(file.fd, path, &file.status)) {
		*ret_verdict = INSPECT_SECURE;
		*ret_what = "is set-uid, set-gid or has file capabilities: the loader ignores the "
		            "library; it runs, but upgrades are not possible";
	} else if (file.fd >= 0) {
		*ret_what = judge_elf(&file, ret_verdict);
	}
	return 0;
}

/* Looks for the program's loader and our library in the root that the program will have. */
static int judge_surroundings(
        const struct chain *chain, enum inspect_verdict *ret_verdict, const char **ret_what)
{
	const struct chain_step *last = &chain->steps[chain->count - 1];
	struct lookup lookup = {.root = chain->root};
	CLEANUP(file_close) struct file file = {.fd = -1};
	char path[PATH_MAX], found[PATH_MAX];
	struct elf elf;

	if (file_open(&file, last->path) == 0 && file.fd >= 0 &&
	        elf_read(&file, &elf) == ELF_PROGRAM && *elf.loader &&
	        lookup_file(&lookup, elf.loader, found, sizeof(found)) == -ENOENT) {
		*ret_what = "needs a loader that is not installed";
		return -ENOENT;
	}
	if (*chain->root && preload_library(path, sizeof(path)) == 0 &&
	        lookup_file(&lookup, path, found, sizeof(found)) == -ENOENT) {
		*ret_verdict = INSPECT_HIDDEN;
		*ret_what =
		        "is in another root directory, which does not have the library: upgrades "
		        "are not possible";
	}
	return 0;
}

int inspect_chain(const struct chain *chain, int error, enum inspect_verdict *ret_verdict,
        char *reason, size_t size, size_t *ret_step)
{
	bool is_script = chain->steps[0].kind == CHAIN_SCRIPT;
	struct subject subject = {
	        chain->steps[0].path, NULL, is_script ? "is run by" : "runs", reason, size};
	const char *what;

	if (size > 0)
		reason[0] = '\0';
	*ret_verdict = INSPECT_FINE;
	*ret_step = chain->count ? chain->count - 1 : 0;
	if (error < 0) {
		if (chain->count == 0)
			(void)snprintf(reason, size, "%s cannot be executed: %s", chain->missing,
			        strerror(-error));
		else if (*chain->missing)
			(void)snprintf(reason, size, "%s %s %s, which cannot be executed: %s",
			        subject.asked, subject.relation, chain->missing, strerror(-error));
		else
			(void)snprintf(reason, size, "%s: %s", subject.asked, strerror(-error));
		return error;
	}
	for (size_t i = 0; i < chain->count; i++) {
		const struct chain_step *step = &chain->steps[i];
		bool is_last = i + 1 == chain->count;
		int result;

		if (step->kind == CHAIN_SCRIPT)
			continue;
		subject.judged = step->path;
		*ret_step = i;
		result = judge(step->path, ret_verdict, &what);
		if (result == 0 && is_last && *ret_verdict == INSPECT_FINE)
			result = judge_surroundings(chain, ret_verdict, &what);
		if (result == 0 && is_last && chain->is_elsewhere) {
			*ret_verdict = INSPECT_ELSEWHERE;
			what = "asks another process to start the program, which moult cannot "
			       "follow: upgrades are not possible";
		}
		if (!is_last && *ret_verdict != INSPECT_SECURE && !step->clears)
			continue;
		if (what)
			explain(&subject, what);
		if (result < 0 || *ret_verdict != INSPECT_FINE)
			return result;
	}
	*ret_step = chain->count - 1;
	return 0;
}

int inspect_command(
        char *const command[], enum inspect_verdict *ret_verdict, char *reason, size_t size)
{
	int error = 0;
	size_t step;
	struct chain *chain = chain_new(command, &error);

	if (!chain)
		return -ENOMEM;
	error = inspect_chain(chain, error, ret_verdict, reason, size, &step);
	free(chain);
	return error;
}
