/* SPDX-License-Identifier: MIT */
/*
 * Descendants, from /proc/PID/task/TID/children.
 *
 * The file is per task: a child that a thread has forked is in that thread's file only.  On a
 * kernel without the file (CONFIG_PROC_CHILDREN) every process of the machine is looked at instead.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "helper/base/util.h"
#include "helper/kernel/owner.h"
#include "helper/kernel/tree.h"

enum {
	WALKS = 3,
	/*
	 * Limits of one way upwards: its length, and how often it is begun anew because a parent
	 * changed.  No real daemon comes near.  Each step reads two files, and each request of a
	 * shim walks one way.
	 */
	DEPTH_MAX = 64,
	ATTEMPTS = 3,
};

/* The longest walk of tree_list_some() and of a signal; the signals after it take as long again. */
static const nanoseconds MOMENT = 50 * MILLISECOND;

void pid_set_deinit(struct pid_set *set)
{
	free(set->pids);
	*set = (struct pid_set){0};
}

/* The index of `pid`, or the index at which it has to be inserted. */
static size_t pid_set_position(const struct pid_set *set, pid_t pid)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->pids[middle] < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool pid_set_has(const struct pid_set *set, pid_t pid)
{
	size_t position = pid_set_position(set, pid);

	return position < set->count && set->pids[position] == pid;
}

static int pid_set_insert(struct pid_set *set, size_t position, pid_t pid)
{
	pid_t *larger = array_grow(set->pids, set->count, &set->allocated, sizeof(*larger));

	if (!larger)
		return -ENOMEM;
	set->pids = larger;
	memmove(set->pids + position + 1, set->pids + position,
	        (set->count - position) * sizeof(*set->pids));
	set->pids[position] = pid;
	set->count++;
	return 0;
}

/* 1: added; 0: it was there; -ENOMEM. */
static int pid_set_add(struct pid_set *set, pid_t pid)
{
	size_t position = pid_set_position(set, pid);
	int result;

	if (position < set->count && set->pids[position] == pid)
		return 0;
	result = pid_set_insert(set, position, pid);
	return result < 0 ? result : 1;
}

/* The pid that a name in /proc stands for; 0: the name is not a number. */
static pid_t parse_pid(const char *name)
{
	char *end;
	long pid;

	if (!isdigit((unsigned char)name[0]))
		return 0;
	pid = strtol(name, &end, 10);
	return *end || pid <= 0 || pid > INT32_MAX ? 0 : (pid_t)pid;
}

/* Reads /proc/PID/stat into `text` from the bracket behind the program's name on.  0 or -errno. */
static int read_stat(pid_t pid, char *text, size_t size, const char **ret_fields)
{
	char path[64];
	ssize_t length;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0)
		length = -errno;
	close(fd);
	if (length <= 0)
		return length < 0 ? (int)length : -ESRCH;
	text[length] = '\0';
	/* The program's name may hold anything, even ") S 1". No bracket follows the name. */
	*ret_fields = strrchr(text, ')');
	return *ret_fields ? 0 : -EIO;
}

int tree_stat(pid_t pid, char *ret_state, pid_t *ret_parent)
{
	char text[512], state;
	const char *fields;
	int parent, result = read_stat(pid, text, sizeof(text), &fields);

	if (result < 0)
		return result;
	if (sscanf(fields, ") %c %d", &state, &parent) != 2)
		return -EIO;
	*ret_state = state;
	*ret_parent = parent;
	return 0;
}

uint64_t tree_birth(pid_t pid)
{
	char text[512], state;
	const char *fields;
	unsigned long long birth;

	if (read_stat(pid, text, sizeof(text), &fields) < 0 ||
	        sscanf(fields,
	                ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
	                "%*d %*d %llu",
	                &state, &birth) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : birth ? birth : 1;
}

bool tree_lives(pid_t pid)
{
	return tree_birth(pid) != 0;
}

/*
 * One walk.  `queue` holds the pids in the order they were met, root first.  `seen` holds the same
 * pids, sorted: a process that changes its parent during the walk is listed twice.
 */
struct walk {
	nanoseconds deadline; /* the walk ends here with what it has found; NEVER: no limit */
	struct pid_set queue;
	struct pid_set seen;
};

static void walk_deinit(struct walk *walk)
{
	pid_set_deinit(&walk->queue);
	pid_set_deinit(&walk->seen);
}

static int walk_meet(struct walk *walk, pid_t pid)
{
	int result = pid_set_add(&walk->seen, pid);

	return result > 0 ? pid_set_insert(&walk->queue, walk->queue.count, pid) : result;
}

/* Reads "12 34 56 ", in pieces that may cut a number in two. */
static int read_children(int fd, struct walk *walk)
{
	char text[4096];
	ssize_t length;
	unsigned long pid = 0;
	int result = 0;

	while (result == 0 && (length = read(fd, text, sizeof(text))) > 0) {
		for (ssize_t i = 0; i < length && result == 0; i++) {
			if (isdigit((unsigned char)text[i])) {
				/* The mask only prevents an overflow */
				pid = (pid * 10 + (unsigned)(text[i] - '0')) & INT32_MAX;
			} else if (pid > 0) {
				result = walk_meet(walk, (pid_t)pid);
				pid = 0;
			}
		}
	}
	if (result == 0 && pid > 0)
		result = walk_meet(walk, (pid_t)pid);
	return result;
}

/* Adds the children of all threads of `pid`; a process that has ended has none. */
static int walk_children(struct walk *walk, pid_t pid)
{
	char path[64];
	const struct dirent *entry;
	DIR *tasks;
	int result = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return tree_is_gone(-errno) ? 0 : -errno;
	while (result == 0 && now() < walk->deadline && (entry = readdir(tasks))) {
		pid_t task = parse_pid(entry->d_name);
		int fd;

		if (task == 0)
			continue;
		(void)snprintf(path, sizeof(path), "%d/children", (int)task);
		fd = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			result = tree_is_gone(-errno) ? 0 : -errno;
			continue;
		}
		result = read_children(fd, walk);
		close(fd);
	}
	closedir(tasks);
	return result;
}

static int walk_down(struct walk *walk, pid_t root, bool whole)
{
	int result = walk_meet(walk, root);

	for (size_t i = 0; result == 0 && i < walk->queue.count && now() < walk->deadline; i++) {
		result = walk_children(walk, walk->queue.pids[i]);
		if (!whole)
			break;
	}
	return result;
}

/* Without "children": adds processes whose parent is in the walk, until a round adds none. */
static int walk_everything(struct walk *walk, pid_t root, bool whole)
{
	const struct dirent *entry;
	size_t before;
	DIR *processes = opendir("/proc");
	int result;

	if (!processes)
		return -errno;
	result = walk_meet(walk, root);
	do {
		before = walk->queue.count;
		rewinddir(processes);
		while (result == 0 && now() < walk->deadline && (entry = readdir(processes))) {
			pid_t pid = parse_pid(entry->d_name), parent;
			char state;

			if (pid == 0)
				continue;
			result = tree_stat(pid, &state, &parent);
			if (result < 0) {
				result = tree_is_gone(result) ? 0 : result;
				continue;
			}
			if (parent == root || (whole && pid_set_has(&walk->seen, parent)))
				result = walk_meet(walk, pid);
		}
	} while (result == 0 && whole && walk->queue.count > before && now() < walk->deadline);
	closedir(processes);
	return result;
}

static bool has_children_files(void)
{
	static int answer = -1;

	if (answer < 0)
		answer = access("/proc/thread-self/children", R_OK) == 0;
	return answer;
}

/*
 * Is the process there, though /proc does not show it?  A keeper of an ordinary user is not
 * dumpable, and so hidden by hidepid (ProtectProc=invisible), even from its own user.  What it has
 * forked is shown, with its parent's pid.
 */
static bool is_hidden(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return access(path, F_OK) < 0 && errno == ENOENT && (kill(pid, 0) == 0 || errno == EPERM);
}

static int list(pid_t root, bool whole, nanoseconds deadline, struct pid_set *set)
{
	int result = 0;
	bool down = has_children_files() && !is_hidden(root);

	for (int i = 0; i < WALKS && result == 0; i++) {
		CLEANUP(walk_deinit) struct walk walk = {.deadline = deadline};

		result = down ? walk_down(&walk, root, whole) : walk_everything(&walk, root, whole);
		for (size_t k = 1; k < walk.queue.count && result == 0; k++)
			if (pid_set_add(set, walk.queue.pids[k]) < 0)
				result = -ENOMEM;
	}
	return result;
}

int tree_list(pid_t root, struct pid_set *set)
{
	return root > 0 ? list(root, true, NEVER, set) : 0;
}

int tree_list_some(pid_t root, struct pid_set *set)
{
	return root > 0 ? list(root, true, after(MOMENT), set) : 0;
}

/* 1: yes; 0: no; -EAGAIN: a process on the way has ended or changed its parent. */
static int climb(pid_t root, pid_t pid)
{
	pid_t parent, above, again;
	char state;

	if (tree_stat(pid, &state, &parent) < 0)
		return 0;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		if (parent == root)
			return 1;
		if (parent <= 1)
			return 0;
		if (tree_stat(parent, &state, &above) < 0)
			return -EAGAIN;
		/*
		 * Still the parent: so `above` was not read from another process that reuses the
		 * pid
		 */
		if (tree_stat(pid, &state, &again) < 0 || again != parent)
			return -EAGAIN;
		pid = parent;
		parent = above;
	}
	return 0;
}

bool tree_has(pid_t root, pid_t pid)
{
	int result = -EAGAIN;

	if (root <= 0 || pid <= 0)
		return false;
	if (pid == root)
		return true;
	for (int i = 0; i < ATTEMPTS && result == -EAGAIN; i++)
		result = climb(root, pid);
	return result == 1;
}

static bool is_child(pid_t root, pid_t pid)
{
	pid_t parent;
	char state;

	return tree_stat(pid, &state, &parent) == 0 && parent == root;
}

/*
 * To a descendant of `root`, or to a child of it.  Checks after the open: from now on the pidfd refers
 * to the same process.  A sandbox may forbid pidfds (-1): then a pid that is used again within
 * microseconds is hit.
 */
static bool signal_one(pid_t root, pid_t pid, int signal, bool whole)
{
	CLEANUP(fd_close) int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && tree_is_gone(-errno))
		return false;
	return (whole ? tree_has(root, pid) : is_child(root, pid)) &&
	       owner_signal(fd, pid, signal) == 0;
}

/* Leaves out the processes in `told` and adds those that it signals; NULL: signals all. */
static int signal_all(pid_t root, int signal, bool whole, struct pid_set *told)
{
	CLEANUP(pid_set_deinit) struct pid_set set = {0};
	nanoseconds deadline;
	int signalled = 0;

	if (root <= 0)
		return 0;
	/* If memory or time runs out, the processes found so far are signalled */
	(void)list(root, whole, after(MOMENT), &set);
	deadline = after(MOMENT);
	for (size_t i = 0; i < set.count && now() < deadline; i++) {
		pid_t pid = set.pids[i];

		if ((told && pid_set_has(told, pid)) || !signal_one(root, pid, signal, whole))
			continue;
		signalled++;
		/* Without memory for it the process may be signalled again */
		if (told)
			(void)pid_set_add(told, pid);
	}
	return signalled;
}

bool tree_signal_one(pid_t root, pid_t pid, int signal)
{
	return pid > 0 && signal_one(root, pid, signal, true);
}

int tree_signal(pid_t root, int signal)
{
	return signal_all(root, signal, true, NULL);
}

int tree_signal_children(pid_t root, int signal)
{
	return signal_all(root, signal, false, NULL);
}

int tree_signal_children_once(pid_t root, int signal, struct pid_set *told)
{
	return signal_all(root, signal, false, told);
}
