/* SPDX-License-Identifier: MIT */
/* One record for each pair of epoll and descriptor. */
#include "shim/interest_record.h"

#include <stddef.h>

#include "shim/fdtable.h"
#include "shim/member.h"

struct interest records[RECORDS];
_Atomic uint32_t records_end;

static bool is_for(struct interest *record, int epoll, int fd)
{
	return record_is_active(record) && atomic_load(&record->epoll) == epoll &&
	       atomic_load(&record->fd) == fd;
}

bool record_hold(struct interest *record)
{
	if (member_is_borrowed())
		return false;
	atomic_fetch_add(&record->actors, 1);
	return true;
}

void record_release(struct interest *record)
{
	atomic_fetch_sub(&record->actors, 1);
}

struct interest *record_find(int epoll, int fd)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_for(record, epoll, fd) || !record_hold(record))
			continue;
		if (is_for(record, epoll, fd))
			return record;
		record_release(record);
	}
	return NULL;
}

/* Takes a record that no pair has and no thread works on: its state becomes FILLING. */
static bool record_seize(struct interest *record)
{
	uint32_t state = FREE;
	if (!atomic_compare_exchange_strong(&record->state, &state, FILLING))
		return false;
	if (!atomic_load(&record->actors))
		return true;
	atomic_store(&record->state, FREE);
	return false;
}

void record_want(struct interest *record, uint32_t events, uint64_t data)
{
	atomic_store(&record->events, events);
	atomic_store(&record->data, data);
	atomic_store(&record->wanted, 1);
}

struct interest *record_add(
        int epoll, int fd, int listener, uint32_t events, uint64_t data, uint32_t held)
{
	if (member_is_borrowed())
		return NULL;
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct interest *record = &records[i];
		if (!record_seize(record))
			continue;
		atomic_store(&record->epoll, epoll);
		atomic_store(&record->fd, fd);
		atomic_store(&record->listener, listener);
		atomic_store(&record->owner, member_pid());
		record_want(record, events, data);
		atomic_store(&record->act, act_of(0, held, held));
		atomic_fetch_add(&record->actors, 1);
		atomic_store(&record->state, ACTIVE);
		uint32_t end = atomic_load(&records_end);
		while (end <= i && !atomic_compare_exchange_weak(&records_end, &end, i + 1))
			;
		fd_set_kind(epoll, FD_EPOLL);
		return record;
	}
	return NULL;
}
