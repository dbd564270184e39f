/* SPDX-License-Identifier: MIT */
/* Whether a program that is executed or spawned now would inherit a listener. */
#include "shim/heritage.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/fdtable.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/procfs.h"
#include "shim/raw.h"

static bool is_kept_by_exec(int fd)
{
	long flags = raw(SYS_fcntl, fd, F_GETFD);
	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* ---- exec in a vfork child: it shares our memory, but has descriptors of its own ---- */

/* Has this process a listener open?  `by_exec`: one that exec passes on? */
static bool is_listener_open(bool by_exec)
{
	alignas(struct procfs_entry) char list[256];
	long directory =
	        raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0) /* no /proc, as in a chroot: only the table is left */
		return listener_survives_exec();
	bool found = false;
	long count;
	while (!found && (count = raw(SYS_getdents64, directory, list, sizeof(list))) > 0)
		for (long at = 0; at < count && !found;) {
			const struct procfs_entry *entry = (const void *)(list + at);
			int fd = procfs_number(entry->name);
			found = fd >= 0 && (!by_exec || is_kept_by_exec(fd)) &&
			        listener_look(fd) >= 0;
			at += entry->length;
		}
	raw(SYS_close, directory);
	return found;
}

bool heritage_of_exec(void)
{
	return member_is_borrowed() ? is_listener_open(true) : listener_survives_exec();
}

/* ---- posix_spawn ---- */

/*
 * The actions of all posix_spawn_file_actions_t objects.  An object is known by its address; `turn`
 * gives the order of its actions.  A vfork child notes actions, too, because the object and the
 * note are both in the memory of the parent.  A program that adds to an object while another thread
 * spawns with the same object has a race of its own.  When the table is full, further actions are
 * ignored.
 */
struct action {
	_Atomic uintptr_t owner; /* address of the object; 0: free; FILLING: being written */
	enum heritage_action action;
	uint32_t turn;
	int from;
	int to;
};

enum { ACTIONS = 1024, FILLING = 1 };
static struct action actions_noted[ACTIONS];
static _Atomic uint32_t actions_end; /* no entry at or above this index is in use */
static _Atomic uint32_t turns;

void heritage_note(
        const posix_spawn_file_actions_t *actions, enum heritage_action action, int from, int to)
{
	for (uint32_t i = 0; i < ACTIONS; i++) {
		struct action *noted = &actions_noted[i];
		uintptr_t owner = 0;
		if (!atomic_compare_exchange_strong(&noted->owner, &owner, FILLING))
			continue;
		noted->action = action;
		noted->turn = atomic_fetch_add(&turns, 1);
		noted->from = from;
		noted->to = to;
		uint32_t end = atomic_load(&actions_end);
		while (end <= i && !atomic_compare_exchange_weak(&actions_end, &end, i + 1))
			;
		atomic_store(&noted->owner, (uintptr_t)actions);
		return;
	}
}

void heritage_forget(const posix_spawn_file_actions_t *actions)
{
	for (uint32_t i = 0, end = atomic_load(&actions_end); i < end; i++) {
		uintptr_t owner = (uintptr_t)actions;
		atomic_compare_exchange_strong(&actions_noted[i].owner, &owner, 0);
	}
}

/* The last action before `turn` that changes `fd`.  NULL: `fd` is as it is in this process. */
static const struct action *last_about(
        const posix_spawn_file_actions_t *actions, int fd, uint32_t turn)
{
	const struct action *last = NULL;
	for (uint32_t i = 0, end = atomic_load(&actions_end); i < end; i++) {
		const struct action *noted = &actions_noted[i];
		if (atomic_load(&noted->owner) != (uintptr_t)actions || noted->turn >= turn ||
		        (last && noted->turn < last->turn))
			continue;
		if (noted->to == fd || (noted->action == HERITAGE_CLOSEFROM && noted->to < fd))
			last = noted;
	}
	return last;
}

/* Will the spawned program have a listener as `fd`?  Follows `fd` back through the actions. */
static bool becomes_listener(const posix_spawn_file_actions_t *actions, int fd)
{
	uint32_t turn = UINT32_MAX;
	bool moved = false;
	for (const struct action *last; (last = last_about(actions, fd, turn));) {
		if (last->action != HERITAGE_DUP)
			return false;
		fd = last->from;
		turn = last->turn;
		moved = true; /* adddup2 clears close-on-exec, even if `from` is `to` */
	}
	return listener_of(fd) >= 0 && (moved || is_kept_by_exec(fd));
}

bool heritage_of_spawn(const posix_spawn_file_actions_t *actions)
{
	if (member_is_borrowed()) /* the actions are ignored: any open listener counts */
		return is_listener_open(false);
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++)
		if (fd_listener(fd) >= 0 && becomes_listener(actions, fd))
			return true;
	for (uint32_t i = 0, end = atomic_load(&actions_end); i < end; i++) {
		const struct action *noted = &actions_noted[i];
		if (actions && atomic_load(&noted->owner) == (uintptr_t)actions &&
		        noted->action == HERITAGE_DUP && becomes_listener(actions, noted->to))
			return true;
	}
	return false;
}
