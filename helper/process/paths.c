/* SPDX-License-Identifier: MIT */
/* Operations on paths that a daemon has named: the child is started, waited for and counted. */
#include "helper/process/paths.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "helper/base/util.h"
#include "helper/kernel/tree.h"
#include "helper/process/path_budget.h"
#include "helper/process/path_child.h"

static const nanoseconds PATIENCE = 500 * MILLISECOND;
/* The same for a child that could run and gets no processor. */
static const nanoseconds BUSY_PATIENCE = 4 * SECOND;
/*
 * How many children of one generation may not have ended, though they have answered or been killed:
 * a close at the end of a process can wait for ever (helper/requests/castoff.h).
 */
enum { CHILDREN = 16 };
/*
 * How long an operation may take without owing anything.  A look on a local file system takes about
 * 1 ms, nearly all of it on a processor: 1,000 UNIX paths owe nothing.  On a machine with ten
 * processes for each processor the same look lasts 40 ms to 100 ms, nearly all of it waiting for a
 * processor.
 */
static const nanoseconds FREE = 5 * MILLISECOND;

/* The children that have not been reaped, and the generation of each. */
static struct child {
	pid_t pid; /* 0: none */
	uint32_t generation;
} children[4 * CHILDREN];

/* A place for one more child of that generation; NULL: too many of its children have not ended. */
static struct child *place_for(uint32_t generation)
{
	struct child *place = NULL;
	size_t count = 0;
	for (size_t i = 0; i < COUNT(children); i++) {
		struct child *child = &children[i];
		/* The supervisor has not reaped the child, so the pid is still its own. */
		if (child->pid && waitpid(child->pid, NULL, WNOHANG) != 0)
			child->pid = 0;
		if (!child->pid)
			place = child;
		else
			count += child->generation == generation;
	}
	return count < CHILDREN ? place : NULL;
}

static bool is_runnable(pid_t pid)
{
	char state;
	pid_t parent;
	return tree_stat(pid, &state, &parent) == 0 && state == 'R';
}

/* How long the process has run on a processor; 0: not known. */
static nanoseconds time_on_processor(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return t.tv_sec * SECOND + t.tv_nsec;
}

/*
 * Waits for the answer.  Looks at the child every few milliseconds.  The generation owes the time
 * that the child sleeps or computes.  It does not owe the time that the child waits for a
 * processor, nor the time that the launcher does: each look counts for no more than its pause.
 */
static bool wait_for(int channel, pid_t child, uint32_t generation)
{
	nanoseconds start = now(), ran = 0, slept = 0;
	bool answered = false, late = false;
	while (!answered && !late) {
		struct pollfd one = {.fd = channel, .events = POLLIN};
		answered = poll(&one, 1, (int)(FREE / MILLISECOND)) > 0;
		nanoseconds waited = now() - start;
		if (answered && waited < FREE)
			break;
		bool runnable = is_runnable(child);
		nanoseconds runs = time_on_processor(child);
		ran = runs > ran ? runs : ran;
		if (!runnable && !answered)
			slept += FREE;
		late = !answered && (waited >= BUSY_PATIENCE || (waited >= PATIENCE && !runnable));
	}
	if (ran + slept > FREE || late)
		path_budget_charge(generation, ran + slept > FREE ? ran + slept - FREE : 0, late);
	return answered;
}

static int receive_result(int channel, struct path_result *ret_result, int *ret_fd)
{
	struct iovec part = {ret_result, sizeof(*ret_result)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))];
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	ssize_t length = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	        header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	/* Without a whole result the child has been killed. */
	return length == sizeof(*ret_result) ? ret_result->error : -EIO;
}

/* 0 or -errno.  *ret_fd: the descriptor that came along; -1: none. */
static int run(const struct path_task *task, struct path_result *ret_result, int *ret_fd)
{
	uint32_t generation = task->asker->generation;
	struct child *place = path_budget_allows(generation) ? place_for(generation) : NULL;
	int channel[2];
	*ret_fd = -1;
	if (!place)
		return -ETIMEDOUT;
	if (task->directory < 0)
		return -EBADF;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
		return -errno;
	pid_t child = fork();
	if (child == 0)
		path_child_run(task, channel[1]);
	int result = child < 0 ? -errno : 0;
	close(channel[1]);
	if (child > 0)
		*place = (struct child){child, generation};
	if (result == 0 && wait_for(channel[0], child, generation))
		result = receive_result(channel[0], ret_result, ret_fd);
	else if (result == 0) {
		(void)kill(child, SIGKILL); /* not reaped yet, so the pid is still its own */
		result = -ETIMEDOUT;
	}
	close(channel[0]);
	return result;
}

int paths_look(const struct asker *asker, int directory, const char *name, struct look *ret_look,
        int *ret_pinned)
{
	struct path_task task = {PATH_LOOK, asker, directory, name, .most = 0};
	struct path_result result;
	int fd, error = run(&task, &result, &fd);
	if (error == 0) {
		*ret_look = result.look;
		if (ret_pinned) {
			*ret_pinned = fd;
			fd = -1;
		}
	}
	fd_close(&fd);
	return error;
}

int paths_restore(const struct asker *asker, int directory, const char *name, struct file_id file,
        mode_t mode, uid_t uid, gid_t gid)
{
	struct path_task task = {
	        PATH_RESTORE, asker, directory, name, file, mode, uid, gid, .most = 0};
	struct path_result result;
	int fd;
	return run(&task, &result, &fd);
}

int paths_unlink(const struct asker *asker, int directory, const char *name, struct file_id file)
{
	struct path_task task = {PATH_UNLINK, asker, directory, name, file, .most = 0};
	struct path_result result;
	int fd;
	return run(&task, &result, &fd);
}

ssize_t paths_read(const struct asker *asker, int directory, const char *name, off_t most,
        char *text, size_t size)
{
	struct path_task task = {PATH_READ, asker, directory, name, .most = most};
	struct path_result result;
	int fd, error = run(&task, &result, &fd);
	if (error < 0)
		return error;
	if (result.length < size)
		size = result.length;
	memcpy(text, result.text, size);
	return (ssize_t)size;
}

bool paths_leads_to(const struct asker *asker, int directory, const char *path, struct file_id file)
{
	struct path_task task = {PATH_LEADS_TO, asker, directory, path, file, .most = 0};
	struct path_result result;
	int fd;
	bool leads = run(&task, &result, &fd) == 0;
	fd_close(&fd);
	return leads;
}

bool paths_reaped(pid_t pid)
{
	for (size_t i = 0; i < COUNT(children); i++)
		if (children[i].pid == pid) {
			children[i].pid = 0;
			return true;
		}
	return false;
}
