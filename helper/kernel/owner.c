/* SPDX-License-Identifier: MIT */
/* What the launcher does as the user of another process. */
#include "helper/kernel/owner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/kernel/permitted.h"

#define NOBODY ((uid_t)-1)

static bool refused;
static uid_t refused_uid;

/* The real, effective and saved ids of a process. */
struct ids {
	uid_t uid[3];
	gid_t gid[3];
};

static bool read_ids(pid_t pid, struct ids *ret_ids)
{
	char path[64], line[256];
	struct ids ids;
	int found = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (found < 6 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Uid: %u %u %u", &ids.uid[0], &ids.uid[1], &ids.uid[2]) == 3)
			found += 3;
		else if (sscanf(line, "Gid: %u %u %u", &ids.gid[0], &ids.gid[1], &ids.gid[2]) == 3)
			found += 3;
	}
	(void)fclose(file);
	if (found == 6)
		*ret_ids = ids;
	return found == 6;
}

static int send_signal(int pidfd, pid_t pid, int signal)
{
	long result = pidfd >= 0 ? syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0)
	                         : kill(pid, signal);

	return result < 0 ? -errno : 0;
}

/* The kernel compares the sender's effective user with the real user of the other process. */
static int signal_as(uid_t uid, int pidfd, pid_t pid, int signal)
{
	uid_t own = geteuid();
	int dumpable = prctl(PR_GET_DUMPABLE);
	int result;

	if (uid == own || !permitted(PERMITTED_IDENTITY) || seteuid(uid) < 0)
		return -EPERM;
	result = send_signal(pidfd, pid, signal);
	/* A process may always return to its real or saved user: this cannot fail */
	if (seteuid(own) < 0)
		abort();
	/* A change of the user sets it to what the system has chosen for such processes */
	(void)prctl(PR_SET_DUMPABLE, dumpable == 1);
	return result;
}

int owner_signal(int pidfd, pid_t pid, int signal)
{
	int result = send_signal(pidfd, pid, signal);
	struct ids ids;
	bool known;

	if (result != -EPERM)
		return result;
	known = read_ids(pid, &ids);
	/* A pid that is used again meanwhile has another user, if any: the kernel refuses again */
	if (known)
		result = signal_as(ids.uid[0], pidfd, pid, signal);
	if (result == -EPERM) {
		refused = true;
		refused_uid = known ? ids.uid[0] : NOBODY;
	}
	return result;
}

bool owner_was_refused(uid_t *ret_uid)
{
	bool was = refused;

	*ret_uid = refused_uid;
	refused = false;
	return was;
}

bool owner_begin_look(pid_t pid)
{
	struct ids ids;

	if (geteuid() != 0 || !permitted(PERMITTED_IDENTITY) || !read_ids(pid, &ids) ||
	        ids.uid[0] == 0)
		return false;
	for (int i = 1; i < 3; i++)
		if (ids.uid[i] != ids.uid[0] || ids.gid[i] != ids.gid[0])
			return false; /* the kernel wants all of them to be ours */
	/* The calls return the former id, whether they succeed or not */
	(void)setfsgid(ids.gid[0]);
	(void)setfsuid(ids.uid[0]);
	if ((uid_t)setfsuid(NOBODY) == ids.uid[0] && (gid_t)setfsgid(NOBODY) == ids.gid[0])
		return true;
	owner_end_look();
	return false;
}

void owner_end_look(void)
{
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
}
