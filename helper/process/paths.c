/* SPDX-License-Identifier: MIT */
/* Operations on paths that a daemon has named, in a child with the asker's credentials. */
#include "helper/process/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "helper/base/util.h"
#include "helper/kernel/tree.h"
#include "helper/process/confine.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static const nanoseconds PATIENCE = 500 * MILLISECOND;
/* For a child that could run and does not get a processor. */
static const nanoseconds BUSY_PATIENCE = 4 * SECOND;
enum { STRIKES = 2 };

/*
 * How long the loop may stand still for a generation in all: it owes the time, and pays back 5 % of
 * each second.  So many children may have answered or been killed and not ended: a close of a file can
 * hang for good (helper/requests/castoff.h).
 */
static const nanoseconds ALLOWANCE = 450 * MILLISECOND;
enum { SHARE = 20, CHILDREN = 16 };
/*
 * What an operation costs without owing anything.  A look on a local file system takes about 1 ms, and
 * nearly all of it is on a processor: 1,000 UNIX paths owe nothing.  On a machine with ten processes
 * to a processor the same look lasts 40 ms to 100 ms, of which it is waiting for one.
 */
static const nanoseconds FREE = 5 * MILLISECOND;

enum operation { LOOK, RESTORE, UNLINK, READ };

struct task {
	enum operation operation;
	const struct asker *asker;
	int directory;
	const char *name; /* NULL: the descriptor itself */
	struct file_id file;
	mode_t mode; /* RESTORE */
	uid_t uid;
	gid_t gid;
	off_t most; /* READ */
};

enum { TEXT = 512 };
struct result {
	int error; /* 0 or -errno */
	struct look look;
	size_t length;
	char text[TEXT];
};

/* ---- who asks ---- */

int asker_of_peer(int connection, uint32_t generation, struct asker *ret_asker)
{
	struct asker asker = {.generation = generation};
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return -errno;
	asker.pid = peer.pid;
	asker.uid = peer.uid;
	asker.gid = peer.gid;
	length = sizeof(asker.groups);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, asker.groups, &length) == 0)
		asker.group_count = length / sizeof(gid_t);
	*ret_asker = asker;
	return 0;
}

/* ---- in the child ---- */

enum { CHANNEL = 0, DIRECTORY = 1 }; /* all that it has */

static void close_from(int first)
{
	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	DIR *list = opendir("/proc/self/fd");
	if (!list)
		_exit(1);
	for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
		int fd = atoi(entry->d_name);
		if (fd >= first && fd != dirfd(list))
			close(fd);
	}
	closedir(list);
}

/*
 * The parent waits and has all of these open, too: none of these closes is the last one, which might
 * block.
 */
static void keep_only(int channel, int directory)
{
	int high = fcntl(channel, F_DUPFD, 3), other = fcntl(directory, F_DUPFD, 3);
	if (high < 0 || other < 0 || dup2(high, CHANNEL) < 0 || dup2(other, DIRECTORY) < 0)
		_exit(1);
	close_from(2);
}

/*
 * All of the asker's, or nothing is done.  With the launcher's own uid it could do what the launcher
 * can, by ptrace for example: then groups that cannot be had make no difference.
 */
static bool take_credentials(const struct asker *asker)
{
	uid_t own = geteuid(), real, effective, saved;
	if (asker->uid == (uid_t)-1 || asker->gid == (gid_t)-1)
		return false;
	bool taken = setgroups(asker->group_count, asker->groups) == 0 &&
	             setresgid(asker->gid, asker->gid, asker->gid) == 0;
	if (!taken && asker->uid != own)
		return false;
	if (setresuid(asker->uid, asker->uid, asker->uid) < 0)
		return false;
	/* Another process of that user may neither read this one's memory nor use its descriptors. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	return confine_capabilities(asker->uid ? 0
	                                       : 1u << CAP_CHOWN | 1u << CAP_FOWNER |
	                                                 1u << CAP_DAC_OVERRIDE |
	                                                 1u << CAP_DAC_READ_SEARCH) &&
	       getresuid(&real, &effective, &saved) == 0 && real == asker->uid &&
	       effective == asker->uid && saved == asker->uid;
}

static int pin(const char *name)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	if (!name)
		return DIRECTORY;
	if (!*name || strlen(name) > NAME_MAX || strchr(name, '/') || !strcmp(name, ".") ||
	        !strcmp(name, ".."))
		return -EINVAL;
	int fd = (int)syscall(SYS_openat2, DIRECTORY, name, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.6, or filtered */
		fd = openat(DIRECTORY, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static struct file_id id_of(const struct stat *status)
{
	return (struct file_id){status->st_dev, status->st_ino};
}

/* "NAME: VALUE" of a descriptor that the kernel tells about; 0: it does not. */
static unsigned long long fdinfo(int fd, const char *name)
{
	char path[64], line[128];
	unsigned long long value = 0;
	size_t length = strlen(name);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			value = strtoull(line + length + 1, NULL, 10);
	if (file)
		(void)fclose(file);
	return value;
}

/* The device of a mount in one process's list, as the kernel's numbers it; 0: it is not there. */
static uint32_t device_in(const char *list, unsigned long long mount)
{
	char *line = NULL;
	size_t room = 0;
	unsigned long long id;
	unsigned device = 0, parent, major, minor;
	FILE *file = fopen(list, "re");
	while (file && !device && getline(&line, &room, file) > 0)
		if (sscanf(line, "%llu %u %u:%u", &id, &parent, &major, &minor) == 4 && id == mount)
			device = major << 20 | minor; /* MKDEV() */
	if (file)
		(void)fclose(file);
	free(line);
	return device;
}

/*
 * The number of a mount that a descriptor holds is that mount's alone, so that it does not matter
 * whose list has it: what the asker sees may be in a mount namespace of its own.
 */
static uint32_t device_of(int fd, pid_t asker)
{
	char path[64];
	unsigned long long mount = fdinfo(fd, "mnt_id");
	uint32_t device = device_in("/proc/self/mountinfo", mount);
	if (device || asker <= 0)
		return device;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", asker);
	return device_in(path, mount);
}

static bool is_replaceable(
        const struct stat *directory, const struct look *look, const struct asker *asker)
{
	return faccessat(DIRECTORY, ".", W_OK | X_OK, 0) == 0 &&
	       (!(directory->st_mode & S_ISVTX) || !look->mode || asker->uid == 0 ||
	               asker->uid == directory->st_uid || asker->uid == look->uid);
}

/* `fd` -errno: nothing is pinned. */
static int look(int fd, const struct asker *asker, struct look *ret_look)
{
	struct stat directory, status;
	struct look it = {0};
	if (fstat(DIRECTORY, &directory) < 0)
		return -errno;
	if (!S_ISDIR(directory.st_mode))
		return -ENOTDIR;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	it.directory = id_of(&directory);
	if (fd >= 0) {
		if (fstat(fd, &status) < 0)
			return -errno;
		unsigned long long inode = fdinfo(fd, "ino"); /* since Linux 5.14 */
		it.file = id_of(&status);
		it.listed_device = device_of(fd, asker->pid);
		it.listed_inode = (uint32_t)(inode ? inode : status.st_ino);
		it.mode = status.st_mode;
		it.uid = status.st_uid;
		it.gid = status.st_gid;
		it.links = status.st_nlink;
	}
	it.replaceable = is_replaceable(&directory, &it, asker);
	*ret_look = it;
	return 0;
}

/* It is the socket file that is meant. */
static int check(int fd, struct file_id file, struct stat *ret_status)
{
	if (fstat(fd, ret_status) < 0)
		return -errno;
	return S_ISSOCK(ret_status->st_mode) && file_id_equal(id_of(ret_status), file) ? 0
	                                                                               : -ESTALE;
}

/* A path that leads to the pinned file, whatever its name leads to by now. */
static const char *pinned_path(int fd, char *path, size_t size)
{
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return path;
}

static int restore(int fd, const struct task *task)
{
	char path[32];
	struct stat status;
	int result = check(fd, task->file, &status);
	if (result < 0)
		return result;
	if ((status.st_uid != task->uid || status.st_gid != task->gid) &&
	        fchownat(fd, "", task->uid, task->gid, AT_EMPTY_PATH) < 0)
		result = -errno;
	if ((status.st_mode & 07777) != (task->mode & 0777) &&
	        chmod(pinned_path(fd, path, sizeof(path)), task->mode & 0777) < 0)
		result = -errno;
	return result;
}

static int read_some(int fd, const struct task *task, struct result *result)
{
	char path[32];
	struct stat status;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_size < 1 || status.st_size > task->most)
		return -EINVAL;
	int file = open(
	        pinned_path(fd, path, sizeof(path)), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, result->text, sizeof(result->text));
	if (length < 0)
		return -errno;
	result->length = (size_t)length;
	return 0;
}

/* To connect there asks the file system whether that is permitted, and this one may never answer. */
static bool is_answered_by_a_process(int fd)
{
	struct statfs status;
	return fstatfs(fd, &status) < 0 || status.f_type == FUSE_SUPER_MAGIC;
}

static int operate(const struct task *task, struct result *result, int *ret_pinned)
{
	struct stat status;
	int fd = pin(task->name), error = fd;
	if (task->operation == LOOK) {
		error = look(fd, task->asker, &result->look);
		if (error == 0 && S_ISSOCK(result->look.mode) && !is_answered_by_a_process(fd))
			*ret_pinned = fd;
		return error;
	}
	if (fd < 0)
		return error;
	switch (task->operation) {
	case RESTORE: return restore(fd, task);
	case UNLINK:
		error = check(fd, task->file, &status);
		return error == 0 && unlinkat(DIRECTORY, task->name, 0) < 0 ? -errno : error;
	case READ: return read_some(fd, task, result);
	default: return -EINVAL;
	}
}

/* One message: the result and a descriptor or none (-1). */
static void send_result(const struct result *result, int fd)
{
	struct iovec part = {(void *)result, sizeof(*result)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		message.msg_control = space;
		message.msg_controllen = sizeof(space);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	(void)sendmsg(CHANNEL, &message, MSG_NOSIGNAL); /* without it the parent says -EIO */
}

static _Noreturn void be_child(const struct task *task, int channel)
{
	struct result result = {0};
	int fd = -1;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	(void)prctl(PR_SET_NAME, "moult-path");
	keep_only(channel, task->directory);
	confine_leave_memory();
	result.error = take_credentials(task->asker) ? operate(task, &result, &fd) : -EPERM;
	send_result(&result, fd);
	_exit(0);
}

/* ---- in the launcher ---- */

/* Generations that have cost time; few, and their numbers do not come again. */
struct account {
	uint32_t generation;
	unsigned strikes; /* time-outs */
	nanoseconds owed, owed_at;
};
static struct account *accounts;
static size_t account_count, accounts_allocated;

/* Children that have not been reaped, and for which generation each was. */
static struct child {
	pid_t pid; /* 0: none */
	uint32_t generation;
} children[4 * CHILDREN];

static struct account *account_of(uint32_t generation)
{
	for (size_t i = 0; i < account_count; i++)
		if (accounts[i].generation == generation)
			return &accounts[i];
	return NULL;
}

/* What it owes now. */
static nanoseconds owed(const struct account *account)
{
	nanoseconds paid = (now() - account->owed_at) / SHARE;
	return account->owed > paid ? account->owed - paid : 0;
}

static void charge(uint32_t generation, nanoseconds cost, bool strike)
{
	struct account *account = account_of(generation);
	if (!account) {
		void *larger =
		        array_grow(accounts, account_count, &accounts_allocated, sizeof(*accounts));
		if (!larger)
			return;
		accounts = larger;
		account = &accounts[account_count++];
		*account = (struct account){.generation = generation};
	}
	account->owed = owed(account) + cost;
	account->owed_at = now();
	account->strikes += strike;
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

/* A place for one more child of that generation, or NULL: too many of its children have not ended. */
static struct child *place_for(uint32_t generation)
{
	struct child *place = NULL;
	size_t count = 0;
	for (size_t i = 0; i < COUNT(children); i++) {
		struct child *child = &children[i];
		/* Not reaped by the supervisor yet: the pid is still its own. */
		if (child->pid && waitpid(child->pid, NULL, WNOHANG) != 0)
			child->pid = 0;
		if (!child->pid)
			place = child;
		else
			count += child->generation == generation;
	}
	return count < CHILDREN ? place : NULL;
}

static bool may_ask(uint32_t generation)
{
	const struct account *account = account_of(generation);
	return !account || (account->strikes < STRIKES && owed(account) < ALLOWANCE);
}

static bool is_runnable(pid_t pid)
{
	char state;
	pid_t parent;
	return tree_stat(pid, &state, &parent) == 0 && state == 'R';
}

/* The time that it has had a processor; 0: not known. */
static nanoseconds time_on_processor(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return t.tv_sec * SECOND + t.tv_nsec;
}

/*
 * Until there is an answer.  Looks at the child every few milliseconds: what it sleeps or computes is
 * owed.  What it waits for a processor is not, and neither is what this process waits for one: no
 * look counts for more than its pause.
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
		charge(generation, ran + slept > FREE ? ran + slept - FREE : 0, late);
	return answered;
}

static int receive_result(int channel, struct result *ret_result, int *ret_fd)
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
	return length == sizeof(*ret_result) ? ret_result->error : -EIO; /* it has been killed */
}

/* 0 or -errno; *ret_fd is -1 if nothing came along. */
static int run(const struct task *task, struct result *ret_result, int *ret_fd)
{
	uint32_t generation = task->asker->generation;
	struct child *place = may_ask(generation) ? place_for(generation) : NULL;
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
		be_child(task, channel[1]);
	int result = child < 0 ? -errno : 0;
	close(channel[1]);
	if (child > 0)
		*place = (struct child){child, generation};
	if (result == 0 && wait_for(channel[0], child, generation))
		result = receive_result(channel[0], ret_result, ret_fd);
	else if (result == 0) {
		(void)kill(child, SIGKILL); /* ours until it has been reaped */
		result = -ETIMEDOUT;
	}
	close(channel[0]);
	return result;
}

int paths_look(const struct asker *asker, int directory, const char *name, struct look *ret_look,
        int *ret_pinned)
{
	struct task task = {LOOK, asker, directory, name, .most = 0};
	struct result result;
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
	struct task task = {RESTORE, asker, directory, name, file, mode, uid, gid, .most = 0};
	struct result result;
	int fd;
	return run(&task, &result, &fd);
}

int paths_unlink(const struct asker *asker, int directory, const char *name, struct file_id file)
{
	struct task task = {UNLINK, asker, directory, name, file, .most = 0};
	struct result result;
	int fd;
	return run(&task, &result, &fd);
}

ssize_t paths_read(const struct asker *asker, int directory, const char *name, off_t most,
        char *text, size_t size)
{
	struct task task = {READ, asker, directory, name, .most = most};
	struct result result;
	int fd, error = run(&task, &result, &fd);
	if (error < 0)
		return error;
	if (result.length < size)
		size = result.length;
	memcpy(text, result.text, size);
	return (ssize_t)size;
}
