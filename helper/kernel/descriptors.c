/* SPDX-License-Identifier: MIT */
/* Reads /proc/PID/fd and /proc/PID/fdinfo. */
#include "helper/kernel/descriptors.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "helper/base/util.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/owner.h"

/* Called for each descriptor of `pid`, which may be a thread; `link`: its target. 0 or -errno. */
typedef int descriptor_visitor(void *context, pid_t pid, const char *number, const char *link);

/* The errno of a look at a process: 0, the process has ended; -EACCES, we may not look; -errno. */
static int refusal(int error)
{
	if (tree_is_gone(-error))
		return 0;
	return error == EPERM ? -EACCES : -error;
}

/*
 * Visits every descriptor in one /proc/PID/fd.  *ret_seen: their number.  0, also when the process
 * has ended; -EACCES: we may not look; other -errno.
 */
static int visit_table(pid_t pid, descriptor_visitor *visitor, void *context, size_t *ret_seen)
{
	char path[64], link[64];
	const struct dirent *entry;
	DIR *table;
	int result = 0;

	*ret_seen = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	table = opendir(path);
	if (!table && errno == ENOENT)
		/* The process has ended, or the mount option hidepid hides it from us */
		return kill(pid, 0) < 0 && errno == ESRCH ? 0 : -EACCES;
	if (!table)
		return refusal(errno);
	while (result == 0 && (entry = readdir(table))) {
		ssize_t length;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		(*ret_seen)++;
		/*
		 * A longer target is a file.  readlink here never waits for the file system of the
		 * target.
		 */
		length = readlinkat(dirfd(table), entry->d_name, link, sizeof(link) - 1);
		if (length >= 0) {
			link[length] = '\0';
			result = visitor(context, pid, entry->d_name, link);
		} else {
			result = refusal(errno);
		}
	}
	closedir(table);
	return result;
}

/* Visits the other threads. When the main thread has ended, its own table is empty. */
static int visit_threads(pid_t pid, descriptor_visitor *visitor, void *context)
{
	char path[64];
	const struct dirent *entry;
	size_t seen = 0;
	DIR *tasks;
	int result = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return tree_is_gone(-errno) ? 0 : -errno;
	while (result == 0 && seen == 0 && (entry = readdir(tasks))) {
		pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);

		if (task > 0 && task != pid)
			result = visit_table(task, visitor, context, &seen);
	}
	closedir(tasks);
	return result;
}

static int visit_as_we_are(pid_t pid, descriptor_visitor *visitor, void *context)
{
	size_t seen;
	pid_t parent;
	char state;
	int result = visit_table(pid, visitor, context, &seen);

	if (result == -EACCES && tree_stat(pid, &state, &parent) == 0 && state == 'Z') {
		result = 0;
		seen = 0;
	}
	return result == 0 && seen == 0 ? visit_threads(pid, visitor, context) : result;
}

static int visit_descriptors(pid_t pid, descriptor_visitor *visitor, void *context)
{
	int result = visit_as_we_are(pid, visitor, context);

	if (result != -EACCES || !owner_begin_look(pid))
		return result;
	result = visit_as_we_are(pid, visitor, context);
	owner_end_look();
	return result;
}

/* A socket, and one of the processes that have it open. */
struct holder {
	uint64_t inode;
	pid_t pid;
	int fd;
};

struct holders {
	struct holder *holders;
	size_t count;
	size_t allocated;
};

static void holders_deinit(struct holders *holders)
{
	free(holders->holders);
	*holders = (struct holders){0};
}

static int note_socket(void *context, pid_t pid, const char *number, const char *link)
{
	struct holders *to = context;
	struct holder *larger;

	if (strncmp(link, "socket:[", 8) != 0)
		return 0;
	larger = array_grow(to->holders, to->count, &to->allocated, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	to->holders = larger;
	to->holders[to->count++] = (struct holder){
	        .inode = strtoull(link + 8, NULL, 10),
	        .pid = pid,
	        .fd = (int)strtol(number, NULL, 10),
	};
	return 0;
}

static int compare_holders(const void *a, const void *b)
{
	return inode_compare(
	        &((const struct holder *)a)->inode, &((const struct holder *)b)->inode);
}

/* Opens a file in /proc/PID, if need be as the user of the process. NULL and errno on failure. */
static FILE *open_as_owner(const char *path, pid_t pid)
{
	FILE *file = fopen(path, "re");
	int error = errno;

	if (file || error != EACCES || !owner_begin_look(pid))
		return file;
	file = fopen(path, "re");
	error = errno;
	owner_end_look();
	errno = error;
	return file;
}

/*
 * The number of descriptors in flight inside one socket.  -ENOENT: the descriptor is another socket
 * by now, or the kernel is too old to print scm_fds.
 */
static long read_in_flight(const struct holder *holder)
{
	char path[64], line[128];
	unsigned long long inode = 0;
	unsigned long flying;
	long count = -ENOENT;
	FILE *info;

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)holder->pid, holder->fd);
	info = open_as_owner(path, holder->pid);
	if (!info)
		return -errno;
	while (fgets(line, sizeof(line), info)) {
		if (sscanf(line, "ino: %llu", &inode) == 1 && inode != holder->inode) {
			count = -ENOENT;
			break;
		}
		if (sscanf(line, "scm_fds: %lu", &flying) == 1)
			count = (long)(flying & INT32_MAX);
	}
	(void)fclose(info);
	return count;
}

/*
 * An empty stream carries no descriptors: on a stream, descriptors travel with at least one byte.
 */
static bool may_carry(const struct diag_row *row)
{
	return row->type != SOCK_STREAM || row->state == TCP_LISTEN || row->queued > 0;
}

/*
 * UNIX sockets that may have descriptors in flight.  A kernel without UNIX sock_diag (-ENOENT) gets
 * all sockets of the holders instead; to read fdinfo of each of them costs more than all the rest.
 */
static int list_carriers(const struct holders *holders, struct diag_rows *rows)
{
	int result = diag_unix(rows);

	if (result != -ENOENT)
		return result;
	result = 0;
	for (size_t i = 0; i < holders->count && result == 0; i++) {
		struct diag_row row = {.inode = holders->holders[i].inode, .family = AF_UNIX};

		if (i == 0 || row.inode != holders->holders[i - 1].inode)
			result = diag_rows_add(rows, &row);
	}
	return result;
}

/* `holders` is sorted by inode. */
static int count_in_flight(const struct holders *holders, size_t *ret_in_flight)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	const struct holder *end = holders->holders + holders->count;
	size_t in_flight = 0;
	int result = list_carriers(holders, &rows);

	if (result < 0)
		return result;
	for (size_t i = 0; i < rows.count; i++) {
		struct holder key = {.inode = rows.rows[i].inode};
		const struct holder *holder;
		long count = -ENOENT;

		if (!may_carry(&rows.rows[i]))
			continue;
		holder = bsearch(
		        &key, holders->holders, holders->count, sizeof(key), compare_holders);
		if (!holder)
			continue;
		while (holder > holders->holders && holder[-1].inode == key.inode)
			holder--;
		/* The first process that still has the socket gives the answer */
		for (; count < 0 && holder < end && holder->inode == key.inode; holder++)
			count = read_in_flight(holder);
		if (count > 0)
			in_flight += (size_t)count;
	}
	*ret_in_flight = in_flight;
	return 0;
}

int audit_sockets(const struct pid_set *set, struct inode_set *ret_set, size_t *ret_unreadable,
        size_t *ret_in_flight)
{
	CLEANUP(holders_deinit) struct holders holders = {0};
	struct inode_set sockets = {0};
	size_t unreadable = 0, in_flight = 0;
	int result = 0;

	for (size_t i = 0; i < set->count && result == 0; i++) {
		result = visit_descriptors(set->pids[i], note_socket, &holders);
		if (result == -EACCES) {
			unreadable++;
			result = 0;
		}
	}
	if (result == 0 && holders.count > 0) {
		qsort(holders.holders, holders.count, sizeof(*holders.holders), compare_holders);
		result = count_in_flight(&holders, &in_flight);
	}
	for (size_t i = 0; i < holders.count && result == 0; i++)
		result = inode_set_add(&sockets, holders.holders[i].inode);
	if (result < 0) {
		inode_set_deinit(&sockets);
		return result;
	}
	inode_set_sort(&sockets);
	*ret_set = sockets;
	*ret_unreadable = unreadable;
	*ret_in_flight = in_flight;
	return 0;
}

static int note_io_uring(void *context, pid_t pid, const char *number, const char *link)
{
	(void)pid;
	(void)number;
	if (strcmp(link, "anon_inode:[io_uring]") == 0)
		*(bool *)context = true;
	return 0;
}

bool audit_uses_io_uring(const struct pid_set *set)
{
	bool found = false;

	/* A process that we may not look at counts as one without io_uring */
	for (size_t i = 0; i < set->count && !found; i++)
		(void)visit_descriptors(set->pids[i], note_io_uring, &found);
	return found;
}

/* ---- interest lists ---- */

struct registrations {
	struct audit_registration *rows;
	size_t count;
	unsigned device; /* the sockets' file system: inode numbers are unique only within one */
};

static int compare_registrations(const void *a, const void *b)
{
	return inode_compare(&((const struct audit_registration *)a)->inode,
	        &((const struct audit_registration *)b)->inode);
}

/* In the form of fdinfo: the kernel's own dev_t, with 20 bits for the minor. */
static int socket_device(unsigned *ret_device)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	*ret_device = major(status.st_dev) << 20 | minor(status.st_dev);
	return 0;
}

static int count_registrations(void *context, pid_t pid, const char *number, const char *link)
{
	struct registrations *to = context;
	char path[64], line[256];
	unsigned events, device;
	unsigned long long inode;
	FILE *info;

	if (strcmp(link, "anon_inode:[eventpoll]") != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)pid, number);
	info = fopen(path, "re");
	if (!info)
		return refusal(errno);
	while (fgets(line, sizeof(line), info)) {
		if (sscanf(line, "tfd: %*d events: %x data: %*x pos:%*d ino:%llx sdev:%x", &events,
		            &inode, &device) != 3)
			continue;
		struct audit_registration key = {.inode = inode}, *row = NULL;
		if (device == to->device)
			row = bsearch(
			        &key, to->rows, to->count, sizeof(key), compare_registrations);
		if (!row)
			continue;
		row->count++;
		row->exclusive += !!(events & EPOLLEXCLUSIVE);
	}
	(void)fclose(info);
	return 0;
}

int audit_registrations(
        const struct pid_set *set, struct audit_registration *registrations, size_t count)
{
	struct registrations found = {.rows = registrations, .count = count};
	int result = socket_device(&found.device);

	qsort(registrations, count, sizeof(*registrations), compare_registrations);
	for (size_t i = 0; i < set->count && result == 0; i++)
		result = visit_descriptors(set->pids[i], count_registrations, &found);
	return result;
}
