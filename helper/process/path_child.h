/* SPDX-License-Identifier: MIT */
/*
 * One operation on a path, in a child of the launcher.
 *
 * The child takes the credentials of the process on whose behalf it works, so the kernel refuses
 * what it would refuse to that process.  The child pins the file that the name leads to, without
 * following any link, looks at the pinned file, and acts on that.
 */
#pragma once

#include "helper/process/asker.h"
#include "helper/process/look.h"

enum path_operation { PATH_LOOK, PATH_RESTORE, PATH_UNLINK, PATH_READ, PATH_LEADS_TO };

struct path_task {
	enum path_operation operation;
	const struct asker *asker;
	int directory;
	const char *name; /* NULL: the descriptor itself; PATH_LEADS_TO: an absolute path */
	struct file_id file;
	mode_t mode; /* PATH_RESTORE */
	uid_t uid;
	gid_t gid;
	off_t most; /* PATH_READ */
};

enum { PATH_TEXT = 512 };
struct path_result {
	int error; /* 0 or -errno */
	struct look look;
	size_t length;
	char text[PATH_TEXT];
};

/*
 * Does the operation, and sends the result over `channel`: one struct path_result and at most one
 * descriptor.
 */
_Noreturn void path_child_run(const struct path_task *task, int channel);
