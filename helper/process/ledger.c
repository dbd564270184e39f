/* SPDX-License-Identifier: MIT */
/* The ledger: what the keepers need to know when the launcher is dead or stopped. */
#include "helper/process/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { ENTRIES = 128 };

/*
 * The comments say who writes a field.  The launcher and all keepers read it.  Accesses are
 * seq_cst, but for the zeroes of ledger_enroll(), which the store to `generation` publishes, and
 * the first look of ledger_was_used(), which only saves an exchange.
 */
struct ledger_entry {
	_Atomic uint32_t generation; /* launcher.  0: free */
	_Atomic int32_t keeper;      /* keeper; launcher: 0, none that may be signalled */
	_Atomic uint32_t alert;      /* all.  The keeper looks from time to time, or is about to */
	_Atomic uint32_t ended;      /* keeper.  It has no process left */
	_Atomic uint32_t stopping;   /* launcher.  The generation has been told to end */
	/* launcher and keeper.  enum moult_gate_state; NONE: not to be opened */
	_Atomic uint8_t gate[MOULT_LISTENERS];
};

struct ledger {
	int32_t launcher;
	_Atomic uint32_t begun;  /* launcher.  Gates change */
	_Atomic uint32_t used;   /* keepers: 1, they have opened gates; launcher: 0 */
	_Atomic uint32_t ending; /* launcher.  The operator has asked for the end */
	_Atomic uint32_t end;    /* launcher.  Entries in use are [0, end) */
	struct ledger_entry entries[ENTRIES];
};

/* Byte offsets of the locks in an empty file: the decision, then one for each entry. */
enum { LOCK_OF_DECISION, LOCK_OF_ENTRIES };

static struct ledger *ledger;
static int locks = -1;
static bool alive[ENTRIES]; /* at the time of ledger_lock() */

static int lock_set(int type, off_t at)
{
	struct flock lock = {
	        .l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	return fcntl(locks, F_SETLK, &lock) < 0 ? -errno : 0;
}

/* The process that holds that lock; 0: none, or this process. */
static pid_t lock_owner(off_t at)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	if (fcntl(locks, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

static size_t number_of(const struct ledger_entry *entry)
{
	return (size_t)(entry - ledger->entries);
}

static size_t count(void)
{
	size_t end = atomic_load(&ledger->end);
	return end < ENTRIES ? end : ENTRIES;
}

/* The keeper of that entry, if it runs and is not this process. */
static pid_t keeper_of(const struct ledger_entry *entry)
{
	if (!atomic_load(&entry->generation) || atomic_load(&entry->ended))
		return 0;
	return lock_owner((off_t)(LOCK_OF_ENTRIES + number_of(entry)));
}

/* ---- the launcher ---- */

int ledger_open(void)
{
	int fd = memfd_create("moult", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Not 0, 1 or 2, which the keeper replaces: a close would drop the locks. */
	locks = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int error = locks < 0 ? errno : 0;
	close(fd);
	if (error)
		return -error;
	void *memory = mmap(
	        NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ledger = memory;
	ledger->launcher = getpid();
	return 0;
}

void ledger_unmap(void)
{
	(void)munmap(ledger, sizeof(*ledger));
}

struct ledger_entry *ledger_enroll(uint32_t generation)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		struct ledger_entry *entry = &ledger->entries[i];
		if (atomic_load(&entry->generation))
			continue;
		for (size_t n = 0; n < MOULT_LISTENERS; n++)
			atomic_store_explicit(&entry->gate[n], 0, memory_order_relaxed);
		atomic_store(&entry->keeper, 0);
		atomic_store(&entry->alert, 0);
		atomic_store(&entry->ended, 0);
		atomic_store(&entry->stopping, 0);
		atomic_store(&entry->generation, generation);
		if (atomic_load(&ledger->end) <= i)
			atomic_store(&ledger->end, (uint32_t)i + 1);
		return entry;
	}
	return NULL;
}

void ledger_strike_off(struct ledger_entry *entry)
{
	if (!entry)
		return;
	atomic_store(&entry->keeper, 0);
	atomic_store(&entry->generation, 0);
}

void ledger_note(struct ledger_entry *entry, uint32_t listener, uint32_t word)
{
	if (entry)
		atomic_store(&entry->gate[listener], (uint8_t)(word & MOULT_GATE_STATE));
}

void ledger_forget(struct ledger_entry *entry, uint32_t listener)
{
	ledger_note(entry, listener, MOULT_GATE_NONE);
}

void ledger_is_stopping(struct ledger_entry *entry)
{
	if (entry)
		atomic_store(&entry->stopping, 1);
}

void ledger_announce_end(void)
{
	atomic_store(&ledger->ending, 1);
}

void ledger_retract_end(void)
{
	atomic_store(&ledger->ending, 0);
}

/* One signal for many gates: the next is due when the keeper has set `alert` to 0 again. */
void ledger_begin(void)
{
	if (!ledger || atomic_exchange(&ledger->begun, 1))
		return;
	for (size_t i = 0; i < count(); i++) {
		struct ledger_entry *entry = &ledger->entries[i];
		pid_t keeper = atomic_load(&entry->keeper);
		if (keeper && !atomic_exchange(&entry->alert, 1))
			(void)kill(keeper, SIGUSR1); /* not reaped: its pid is its own */
	}
}

void ledger_end(void)
{
	if (ledger)
		atomic_store(&ledger->begun, 0);
}

void ledger_keeper_ended(struct ledger_entry *entry)
{
	if (entry)
		atomic_store(&entry->keeper, 0);
}

bool ledger_was_used(void)
{
	return atomic_load_explicit(&ledger->used, memory_order_relaxed) &&
	       atomic_exchange(&ledger->used, 0);
}

/* ---- a keeper ---- */

int ledger_keep(struct ledger_entry *entry)
{
	int result = lock_set(F_WRLCK, (off_t)(LOCK_OF_ENTRIES + number_of(entry)));
	if (result == 0)
		atomic_store(&entry->keeper, (int32_t)getpid());
	return result;
}

void ledger_leave(struct ledger_entry *entry)
{
	atomic_store(&entry->ended, 1);
	for (size_t i = 0; i < count(); i++) {
		struct ledger_entry *other = &ledger->entries[i];
		pid_t keeper = other == entry ? 0 : keeper_of(other);
		if (!keeper)
			continue;
		atomic_store(&other->alert, 1);
		(void)kill(keeper, SIGUSR1); /* it lives: it had the lock just now */
	}
}

int ledger_descriptor(void)
{
	return locks;
}

pid_t ledger_launcher(void)
{
	return ledger->launcher;
}

bool ledger_is_ending(void)
{
	return atomic_load(&ledger->ending);
}

bool ledger_is_told(const struct ledger_entry *entry)
{
	return atomic_load(&entry->stopping);
}

bool ledger_lock(const struct ledger_entry *entry)
{
	if (lock_set(F_WRLCK, LOCK_OF_DECISION) < 0)
		return false;
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct ledger_entry *other = &ledger->entries[i];
		alive[i] = i < count() && (other == entry || keeper_of(other));
	}
	return true;
}

void ledger_unlock(void)
{
	(void)lock_set(F_UNLCK, LOCK_OF_DECISION); /* cannot fail: no lock is split */
}

bool ledger_has_others(void)
{
	size_t living = 0;
	for (size_t i = 0; i < count(); i++)
		living += alive[i];
	return living > 1;
}

/* Is `a` before `b` in the order of heirs? */
static bool ranks_before(const struct ledger_entry *a, const struct ledger_entry *b)
{
	bool a_stops = atomic_load(&a->stopping), b_stops = atomic_load(&b->stopping);
	if (a_stops != b_stops)
		return b_stops;
	return atomic_load(&a->generation) > atomic_load(&b->generation);
}

bool ledger_is_heir(const struct ledger_entry *entry, uint32_t listener)
{
	const struct ledger_entry *heir = NULL;
	for (size_t i = 0; i < count(); i++) {
		const struct ledger_entry *other = &ledger->entries[i];
		uint8_t state = alive[i] ? atomic_load(&other->gate[listener]) : MOULT_GATE_NONE;
		if (state == MOULT_GATE_OPEN)
			return other == entry;
		if (state && (!heir || ranks_before(other, heir)))
			heir = other;
	}
	return heir == entry;
}

bool ledger_is_begun(void)
{
	return atomic_load(&ledger->begun);
}

void ledger_correct(struct ledger_entry *entry, uint32_t listener, uint32_t word)
{
	uint8_t open = MOULT_GATE_OPEN;
	if ((word & MOULT_GATE_STATE) == MOULT_GATE_OPEN)
		atomic_store(&entry->gate[listener], open);
	else
		atomic_compare_exchange_strong(
		        &entry->gate[listener], &open, (uint8_t)(word & MOULT_GATE_STATE));
}

void ledger_use(void)
{
	atomic_store(&ledger->used, 1);
}

void ledger_set_alert(struct ledger_entry *entry, bool looks)
{
	atomic_store(&entry->alert, looks);
}
