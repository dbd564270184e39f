/* SPDX-License-Identifier: MIT */
/* Which epoll instances watch a listener of ours. */
#include "shim/interest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/member.h"
#include "shim/raw.h"
#include "shim/real.h"

enum { FREE, FILLING, ACTIVE };

/* What we last did to the kernel's entry. */
enum { HELD_NOT, HELD, HELD_SHARED /* without the EPOLLEXCLUSIVE that was asked for */ };

struct interest {
	_Atomic uint32_t state;
	_Atomic uint32_t held;
	_Atomic uint32_t events;
	_Atomic uint64_t data;
	int epoll;
	int fd;
	int listener;
	pid_t owner; /* the process that added it */
};

enum { RECORDS = 4096 };
static struct interest records[RECORDS];
static _Atomic uint32_t records_end; /* none at or above is in use */

_Atomic int interest_possible;

static bool is_active(struct interest *record)
{
	return atomic_load(&record->state) == ACTIVE;
}

static struct interest *record_find(int epoll, int fd)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (is_active(&records[i]) && records[i].epoll == epoll && records[i].fd == fd)
			return &records[i];
	return NULL;
}

/* NULL: the table is full; the registration then stays as it is in the kernel, through every
 * switch. */
static struct interest *record_add(
        int epoll, int fd, int listener, uint32_t events, uint64_t data, uint32_t held)
{
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct interest *record = &records[i];
		uint32_t state = FREE;
		if (!atomic_compare_exchange_strong(&record->state, &state, FILLING))
			continue;
		record->epoll = epoll;
		record->fd = fd;
		record->listener = listener;
		record->owner = member_pid();
		atomic_store(&record->events, events);
		atomic_store(&record->data, data);
		atomic_store(&record->held, held);
		atomic_store(&record->state, ACTIVE);
		uint32_t end = atomic_load(&records_end);
		while (end <= i && !atomic_compare_exchange_weak(&records_end, &end, i + 1))
			;
		fd_set_kind(epoll, FD_EPOLL);
		return record;
	}
	return NULL;
}

static long kernel_ctl(const struct interest *record, int operation, struct epoll_event *event)
{
	return raw(SYS_epoll_ctl, record->epoll, operation, record->fd, event);
}

static bool is_exclusive(struct interest *record)
{
	return atomic_load(&record->events) & EPOLLEXCLUSIVE;
}

static struct epoll_event wanted(struct interest *record, uint32_t word)
{
	struct epoll_event event = {.events = atomic_load(&record->events)};
	event.data.u64 = atomic_load(&record->data);
	if (word & MOULT_GATE_CROWDED)
		event.events &= ~(uint32_t)EPOLLEXCLUSIVE;
	return event;
}

static bool may_watch(uint32_t word)
{
	return gate_is_open(word);
}

/*
 * Brings one record and the kernel together.  Answers like EEXIST or ENOENT mean that another
 * process of an epoll shared by fork has done it already.
 *
 * The loop ends when nothing has changed since it acted.  Two threads here at once, one adding with
 * OPEN in hand and one removing with DRAINING, both look again: the later of them sees what is
 * true.
 */
static void settle(struct interest *record)
{
	_Atomic uint32_t *word_now = &gate_of(record->listener)->word;
	uint32_t word = atomic_load(word_now);
	for (;;) {
		struct epoll_event event = wanted(record, word);
		uint32_t held = atomic_load(&record->held);
		if (!may_watch(word)) {
			if (held != HELD_NOT)
				kernel_ctl(record, EPOLL_CTL_DEL, &event);
			atomic_store(&record->held, HELD_NOT);
		} else {
			bool shared = is_exclusive(record) && (word & MOULT_GATE_CROWDED);
			if (held == HELD_SHARED && !shared) {
				kernel_ctl(record, EPOLL_CTL_DEL, &event);
				held = HELD_NOT;
			}
			if (held == HELD_NOT)
				kernel_ctl(record, EPOLL_CTL_ADD, &event);
			atomic_store(&record->held, shared ? HELD_SHARED : HELD);
		}
		if (!is_active(record)) { /* the daemon removed it meanwhile */
			kernel_ctl(record, EPOLL_CTL_DEL, &event);
			return;
		}
		struct epoll_event again = wanted(record, word);
		if (may_watch(word) && !(again.events & EPOLLEXCLUSIVE) &&
		        (again.events != event.events || again.data.u64 != event.data.u64))
			kernel_ctl(record, EPOLL_CTL_MOD, &again);
		uint32_t later = atomic_load(word_now);
		if (later == word)
			return;
		word = later;
	}
}

void interest_settle(void)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_active(record))
			continue;
		uint32_t word = atomic_load(&gate_of(record->listener)->word);
		uint32_t held = atomic_load(&record->held);
		bool shared = is_exclusive(record) && (word & MOULT_GATE_CROWDED);
		uint32_t right = !may_watch(word) ? HELD_NOT : shared ? HELD_SHARED : HELD;
		/* A plain registration made before the gate was crowded may stay exclusive. */
		if (held != right && !(held == HELD && right == HELD_SHARED))
			settle(record);
	}
}

void interest_mark_waiting(void)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (is_active(&records[i]))
			gate_mark_waiting(records[i].listener);
}

bool interest_watches(int listener)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (is_active(&records[i]) && records[i].listener == listener)
			return true;
	return false;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static int ctl_add(int epoll, int fd, struct epoll_event *event, int listener)
{
	struct interest *record = record_find(epoll, fd);
	if (record && atomic_load(&record->held) == HELD_NOT)
		return fail(EEXIST);
	uint32_t word = atomic_load(&gate_of(listener)->word);
	/* The kernel says what is wrong with a request, also while the gate is closed. */
	struct epoll_event mine;
	bool shared = false;
	if (event) {
		mine = *event;
		shared = (mine.events & EPOLLEXCLUSIVE) && (word & MOULT_GATE_CROWDED);
		if (shared)
			mine.events &= ~(uint32_t)EPOLLEXCLUSIVE;
	}
	int result = real.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event ? &mine : NULL);
	if (result < 0)
		return result;
	if (record) /* it had left the kernel's list behind our back: the number was reused */
		atomic_store(&record->state, FREE);
	record = record_add(
	        epoll, fd, listener, event->events, event->data.u64, shared ? HELD_SHARED : HELD);
	if (record)
		settle(record);
	return result;
}

static int ctl_mod(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	if (is_exclusive(record) || (event->events & EPOLLEXCLUSIVE))
		return fail(EINVAL); /* as the kernel has it */
	atomic_store(&record->events, event->events);
	atomic_store(&record->data, event->data.u64);
	if (may_watch(atomic_load(&gate_of(record->listener)->word)) &&
	        atomic_load(&record->held) != HELD_NOT) {
		int saved = errno;
		int result = real.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event);
		if (result == 0 || errno != ENOENT ||
		        may_watch(atomic_load(&gate_of(record->listener)->word)))
			return result;
		errno = saved; /* the gate closed in between */
	}
	settle(record);
	return 0;
}

static int ctl_del(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	int saved = errno;
	atomic_store(&record->state, FREE);
	int result = real.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event);
	if (result < 0 && errno == ENOENT) { /* it was out already, for a closed gate */
		errno = saved;
		result = 0;
	}
	return result;
}

int interest_ctl(int epoll, int operation, int fd, struct epoll_event *event, int listener)
{
	if (operation == EPOLL_CTL_ADD)
		return ctl_add(epoll, fd, event, listener);
	struct interest *record = record_find(epoll, fd);
	if (record && operation == EPOLL_CTL_MOD && event)
		return ctl_mod(epoll, fd, event, record);
	if (record && operation == EPOLL_CTL_DEL)
		return ctl_del(epoll, fd, event, record);
	return real.epoll_ctl(epoll, operation, fd, event);
}

void interest_drop(int fd)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_active(record) || record->fd != fd)
			continue;
		atomic_store(&record->state, FREE);
		if (record->owner == member_pid()) {
			struct epoll_event none = {0};
			kernel_ctl(record, EPOLL_CTL_DEL, &none);
		}
	}
}

void interest_drop_epoll(int epoll)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (is_active(&records[i]) && records[i].epoll == epoll)
			atomic_store(&records[i].state, FREE);
}

/* "tfd:        5 events:       19 data: 00000000000000ab ..." : the number after `label`. */
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

static void discover_line(const char *line, int epoll, int fd, int listener, int fresh)
{
	uint64_t target, events, data;
	if (!field(line, "tfd:", 10, &target) || (int)target != fd ||
	        !field(line, "events:", 16, &events) || !field(line, "data:", 16, &data) ||
	        record_find(epoll, fd))
		return;
	if (fresh) {
		struct epoll_event none = {0};
		raw(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &none);
	}
	struct interest *record =
	        record_add(epoll, fd, listener, (uint32_t)events, data, fresh ? HELD_NOT : HELD);
	if (record && !fresh)
		settle(record);
}

static void discover_epoll(
        long directory, const char *name, int epoll, int fd, int listener, int fresh)
{
	char text[4096];
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
				discover_line(text + start, epoll, fd, listener, fresh);
				start = i + 1;
			}
		kept = end - start < sizeof(text) / 2 ? end - start : 0;
		for (size_t i = 0; i < kept; i++)
			text[i] = text[start + i];
	}
	raw(SYS_close, file);
}

struct entry { /* of getdents64 */
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

void interest_discover(int fd, int listener, int fresh)
{
	if (!atomic_load(&interest_possible))
		return;
	alignas(struct entry) char list[4096];
	long directory =
	        raw(SYS_openat, AT_FDCWD, "/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return;
	long count;
	while ((count = raw(SYS_getdents64, directory, list, sizeof(list))) > 0)
		for (long at = 0; at < count;) {
			const struct entry *entry = (const void *)(list + at);
			uint64_t epoll = 0;
			if (entry->name[0] != '.' && field(entry->name, "", 10, &epoll))
				discover_epoll(
				        directory, entry->name, (int)epoll, fd, listener, fresh);
			at += entry->length;
		}
	raw(SYS_close, directory);
}
