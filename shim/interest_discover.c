/* SPDX-License-Identifier: MIT */
/* Finds epoll registrations of a socket that were made before it was known to be a listener. */
#include "shim/interest_discover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/fdtable.h"
#include "shim/interest_record.h"
#include "shim/interest_settle.h"
#include "shim/interest_sleep.h"
#include "shim/procfs.h"
#include "shim/raw.h"

_Atomic int interest_possible;

/*
 * The number after `label` in a line as "tfd:        5 events:       19 data: 00000000000000ab
 * ...".
 */
static bool field(const char *line, const char *label, unsigned base, uint64_t *ret)
{
	for (; *line && *line != '\n'; line++) {
		size_t n = 0;
		while (label[n] && line[n] == label[n])
			n++;
		if (label[n])
			continue;
		for (line += n; *line == ' ' || *line == '\t'; line++)
			;
		uint64_t value = 0;
		for (;; line++) {
			unsigned digit = 99;
			if (*line >= '0' && *line <= '9')
				digit = (unsigned)(*line - '0');
			else if (*line >= 'a' && *line <= 'f')
				digit = (unsigned)(*line - 'a') + 10;
			if (digit >= base)
				break;
			value = value * base + digit;
		}
		*ret = value;
		return true;
	}
	return false;
}

/* Which registrations of an epoll are looked for. */
struct search {
	int fd; /* -1: all that the table calls listeners */
	int listener;
	bool fresh;
	bool *ret_listed; /* not NULL: is there a registration of `fd`?  Nothing is recorded. */
};

static void discover_line(const char *line, int epoll, const struct search *search)
{
	uint64_t target, events, data;
	if (!field(line, "tfd:", 10, &target) || target >= FD_TABLE ||
	        !field(line, "events:", 16, &events) || !field(line, "data:", 16, &data))
		return;
	int fd = (int)target;
	if (search->ret_listed) {
		*search->ret_listed |= fd == search->fd;
		return;
	}
	int listener = search->fd < 0 ? fd_listener(fd) : search->listener;
	if ((search->fd >= 0 && fd != search->fd) || listener < 0)
		return;
	struct interest *record = record_find(epoll, fd);
	if (record && record_is_wanted(record)) {
		record_release(record);
		return;
	}
	if (search->fresh) {
		struct epoll_event none = {0};
		raw(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &none);
	}
	if (record) {
		atomic_store(&record->listener, listener);
		record_want(record, (uint32_t)events, data);
	} else
		record = record_add(epoll, fd, listener, (uint32_t)events, data,
		        search->fresh ? HELD_NOT : HELD);
	if (!record)
		return;
	if (!search->fresh)
		record_settle(record, true, NULL);
	record_release(record);
}

/*
 * A line of fdinfo has some 120 characters.  The buffers are small: the stack may be a signal
 * handler's.
 */
enum { TEXT = 192, LIST = 128 };

/* Looks through one epoll.  `name` is the path of its fdinfo, relative to `directory`. */
static void discover_epoll(long directory, const char *name, int epoll, const struct search *search)
{
	char text[TEXT];
	long file = raw(SYS_openat, directory, name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return;
	size_t kept = 0;
	long count;
	while ((count = raw(SYS_read, file, text + kept, sizeof(text) - 1 - kept)) > 0) {
		size_t end = kept + (size_t)count, start = 0;
		text[end] = '\0';
		for (size_t i = 0; i < end; i++)
			if (text[i] == '\n') {
				discover_line(text + start, epoll, search);
				start = i + 1;
			}
		kept = end - start < sizeof(text) - 1 ? end - start : 0;
		for (size_t i = 0; i < kept; i++)
			text[i] = text[start + i];
	}
	raw(SYS_close, file);
}

static void discover_number(int epoll, const struct search *search)
{
	static const char start[] = "/proc/self/fdinfo/";
	char name[sizeof(start) + PROCFS_DIGITS];
	discover_epoll(AT_FDCWD, procfs_name(start, epoll, name), epoll, search);
}

void interest_rediscover(void)
{
	const struct search all = {.fd = -1};
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++)
		if (fd_kind(fd) == FD_EPOLL)
			discover_number(fd, &all);
}

/* Does the kernel list `fd` in the epoll `number`, although it was not added by this number? */
static bool is_twin(int number, int fd)
{
	bool listed = false;
	const struct search search = {.fd = fd, .ret_listed = &listed};
	struct interest *record = record_find(number, fd);
	if (record)
		record_release(record);
	else
		discover_number(number, &search);
	return listed;
}

bool interest_discover_sleepers(int epoll, int fd)
{
	for (int number = -1; (number = interest_sleep_next(number + 1)) >= 0;)
		if (number != epoll && is_twin(number, fd)) {
			interest_sleep_shared(epoll, number);
			return true;
		}
	return false;
}

/*
 * Is this number an epoll, by its link in /proc/self/fd?  Where the link may not be read, the
 * number may be one.
 */
static bool may_be_epoll(long directory, const char *name)
{
	static const char epoll[] = "anon_inode:[eventpoll]";
	char link[sizeof(epoll)];
	long length = raw(SYS_readlinkat, directory, name, link, sizeof(link));
	if (length < 0)
		return length == -EPERM;
	for (size_t i = 0; i < sizeof(epoll) - 1; i++)
		if (length != sizeof(epoll) - 1 || link[i] != epoll[i])
			return false;
	return true;
}

void interest_discover(int fd, int listener, int fresh)
{
	static const char start[] = "../fdinfo/";
	const struct search search = {fd, listener, fresh, NULL};
	if (!atomic_load(&interest_possible))
		return;
	alignas(struct procfs_entry) char list[LIST];
	long directory =
	        raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return;
	long count;
	while ((count = raw(SYS_getdents64, directory, list, sizeof(list))) > 0)
		for (long at = 0; at < count;) {
			const struct procfs_entry *entry = (const void *)(list + at);
			char name[sizeof(start) + PROCFS_DIGITS];
			int epoll = procfs_number(entry->name);
			if (epoll >= 0 && may_be_epoll(directory, entry->name))
				discover_epoll(
				        directory, procfs_name(start, epoll, name), epoll, &search);
			at += entry->length;
		}
	raw(SYS_close, directory);
}
