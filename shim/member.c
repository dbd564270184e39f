/* SPDX-License-Identifier: MIT */
/* This process's membership of a generation. */
#include "shim/member.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "shim/raw.h"

struct moult_page *member_page;

static uint32_t generation;
static char token[MOULT_TOKEN_DIGITS];
static struct sockaddr_un launcher;
static socklen_t launcher_length;

/*
 * What belongs to one process and not to its forked children.  The kernel empties this page in a
 * child (MADV_WIPEONFORK, Linux 4.14), also when the child was made by a raw clone() that no fork
 * handler sees.
 */
struct own {
	_Atomic uint32_t pid;
	_Atomic uint32_t slot;        /* 0: none yet */
	_Atomic uint32_t crowded_out; /* there was none to be had */
	_Atomic uint32_t serves;
};
static struct own *own;

/* MOULT=CONTRACT:GENERATION:TOKEN:ADDRESS; false: not ours to understand. */
static bool variable_parse(const char *text)
{
	uint32_t numbers[2] = {0, 0};
	for (int i = 0; i < 2; i++) {
		if (*text < '0' || *text > '9')
			return false;
		for (; *text >= '0' && *text <= '9'; text++)
			numbers[i] = numbers[i] * 10 + (uint32_t)(*text - '0');
		if (*text++ != ':')
			return false;
	}
	generation = numbers[1];
	for (int i = 0; i < MOULT_TOKEN_DIGITS; i++) {
		if (!*text)
			return false;
		token[i] = *text++;
	}
	if (*text++ != ':')
		return false;
	size_t length = 0;
	launcher.sun_family = AF_UNIX;
	while (length < sizeof(launcher.sun_path) - 1 && text[length]) {
		launcher.sun_path[1 + length] = text[length];
		length++;
	}
	launcher_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
	return length > 0 && !text[length];
}

/*
 * In which pid namespace a pid means what.  The launcher asks whether the process with a slot's pid
 * lives: of one in a namespace of its own it would find nobody, or somebody else.
 */
static bool launcher_is_outside; /* our pids mean nothing to it */

static bool is_outside(int channel)
{
	struct ucred peer = {.pid = 1};
	socklen_t length = sizeof(peer);
	raw(SYS_getsockopt, channel, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	return !peer.pid; /* which is what the kernel says of a process that we cannot see */
}

/* A connection to the launcher with the request sent, or -errno. Signals may interrupt any step. */
static int send_request(struct moult_request *request, int fd, int other)
{
	size_t count = (size_t)(fd >= 0) + (other >= 0);
	long channel = raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (channel < 0)
		return (int)channel;
	struct timeval limit = {.tv_sec = MOULT_REPLY_SECONDS};
	long result = raw(SYS_setsockopt, channel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (result >= 0)
		result = raw(
		        SYS_setsockopt, channel, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (result < 0) { /* forbidden, and without it an answer may never come */
		raw(SYS_close, channel);
		return (int)result;
	}

	request->contract = MOULT_CONTRACT;
	request->generation = generation;
	for (int i = 0; i < MOULT_TOKEN_DIGITS; i++)
		request->token[i] = token[i];
	struct iovec part = {request, sizeof(*request)};
	alignas(struct cmsghdr) char space[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (count) {
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = (void *)space;
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		int *fds = (int *)(void *)CMSG_DATA(header);
		fds[0] = fd >= 0 ? fd : other;
		fds[1] = other; /* not sent when there is but one */
	}
	do
		result = raw(SYS_connect, channel, &launcher, launcher_length);
	while (result == -EINTR);
	if (request->verb == MOULT_HELLO)
		launcher_is_outside = result >= 0 && is_outside((int)channel);
	while (result >= 0 || result == -EINTR) {
		result = raw(SYS_sendmsg, channel, &message, MSG_NOSIGNAL);
		if (result >= 0)
			return (int)channel;
	}
	raw(SYS_close, channel);
	return (int)result;
}

int member_ask(struct moult_request *request, int fd, int other, struct moult_reply *ret_reply,
        int *ret_fd)
{
	int channel = send_request(request, fd, other);
	if (channel < 0)
		return channel;

	struct iovec part = {ret_reply, sizeof(*ret_reply)};
	alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	long result;
	do {
		message.msg_control = space;
		message.msg_controllen = sizeof(space);
		result = raw(SYS_recvmsg, channel, &message, MSG_CMSG_CLOEXEC);
	} while (result == -EINTR);
	raw(SYS_close, channel);

	int received = -1;
	struct cmsghdr *header = result > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		received = *(int *)(void *)CMSG_DATA(header);
	if (result == sizeof(*ret_reply) && ret_fd)
		*ret_fd = received;
	else if (received >= 0)
		raw(SYS_close, received);
	if (result != sizeof(*ret_reply))
		return result < 0 ? (int)result : -EPROTO;
	return ret_reply->error;
}

void member_tell(struct moult_request *request)
{
	int channel = send_request(request, -1, -1);
	if (channel >= 0)
		raw(SYS_close, channel);
}

/* The namespace's link, or "" without a /proc to read. */
struct pid_space {
	char text[32];
};
static struct pid_space joined_in;

static void pid_space_read(struct pid_space *ret)
{
	*ret = (struct pid_space){""};
	raw(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", ret->text, sizeof(ret->text) - 1);
}

enum pid_meaning { PIDS_SAME, PIDS_UNKNOWN, PIDS_OTHER };

static enum pid_meaning pid_meaning(void)
{
	struct pid_space now;
	pid_space_read(&now);
	if (!now.text[0] || !joined_in.text[0])
		return PIDS_UNKNOWN;
	for (size_t i = 0; i < sizeof(now.text); i++)
		if (now.text[i] != joined_in.text[i])
			return PIDS_OTHER;
	return PIDS_SAME;
}

void member_join(const char *variable)
{
	if (!variable_parse(variable))
		return;
	struct moult_request hello = {.verb = MOULT_HELLO, .listener = -1};
	struct moult_reply reply;
	int fd = -1;
	if (member_ask(&hello, -1, -1, &reply, &fd) < 0 || fd < 0)
		return;
	long page = raw(SYS_mmap, NULL, sizeof(struct moult_page), PROT_READ | PROT_WRITE,
	        MAP_SHARED, fd, 0);
	raw(SYS_close, fd);
	if (page < 0 && page > -4096)
		return;
	long mine = raw(
	        SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if ((mine < 0 && mine > -4096) || raw(SYS_madvise, mine, 4096, MADV_WIPEONFORK) < 0) {
		raw(SYS_munmap, page, sizeof(struct moult_page));
		return;
	}
	pid_space_read(&joined_in);
	own = (struct own *)mine;
	member_page = (struct moult_page *)page;
}

pid_t member_pid(void)
{
	uint32_t pid = atomic_load_explicit(&own->pid, memory_order_relaxed);
	if (!pid) {
		long answer = raw(SYS_getpid);
		if (answer < 0) /* forbidden */
			return 0;
		pid = (uint32_t)answer;
		atomic_store_explicit(&own->pid, pid, memory_order_relaxed);
	}
	return (pid_t)pid;
}

bool member_is_borrowed(void)
{
	long pid = raw(SYS_getpid);
	return pid >= 0 && member_pid() != (pid_t)pid;
}

void member_serves(void)
{
	atomic_store_explicit(&own->serves, 1, memory_order_relaxed);
}

bool member_has_served(void)
{
	return atomic_load_explicit(&own->serves, memory_order_relaxed) && !member_is_borrowed();
}

struct moult_slot *member_slot_if_any(void)
{
	uint32_t mine = atomic_load_explicit(&own->slot, memory_order_relaxed);
	return mine ? &member_page->slot[mine] : NULL;
}

/*
 * A slot that already bears our pid is ours from before an exec, or was left by a dead process whose
 * pid came back.  *ret_stale: what it had in flight; nobody counts there until we say it is ours.
 */
static uint32_t slot_find(uint32_t pid, uint32_t *ret_stale)
{
	struct moult_page *page = member_page;
	uint32_t used = atomic_load(&page->slots);
	for (uint32_t i = 1; i < used && i < MOULT_SLOTS; i++)
		if (atomic_load(&page->slot[i].pid) == pid) {
			*ret_stale = atomic_load(&page->slot[i].inflight);
			return i;
		}
	return 0;
}

/* The lowest free slot, now with our pid; 0: there is none. */
static uint32_t slot_take_free(uint32_t pid)
{
	struct moult_page *page = member_page;
	for (uint32_t i = 1; i < MOULT_SLOTS; i++) {
		uint32_t nobody = atomic_load(&page->slot[i].pid);
		if (!nobody && atomic_compare_exchange_strong(&page->slot[i].pid, &nobody, pid))
			return i;
	}
	return 0;
}

/*
 * The launcher takes slots of dead processes back when it looks, which may be days away; a daemon
 * whose children serve one connection each needs thousands meanwhile.  The counts of connections
 * stay: they go on being part of the sum.
 */
static uint32_t slot_take_dead(uint32_t pid, uint32_t *ret_stale)
{
	struct moult_page *page = member_page;
	if (pid_meaning() != PIDS_SAME)
		return 0;
	for (uint32_t i = 1; i < MOULT_SLOTS; i++) {
		uint32_t other = atomic_load(&page->slot[i].pid);
		if (!other || other > INT32_MAX || raw(SYS_kill, other, 0) != -ESRCH ||
		        !atomic_compare_exchange_strong(&page->slot[i].pid, &other, pid))
			continue;
		*ret_stale = atomic_load(&page->slot[i].inflight);
		return i;
	}
	return 0;
}

/*
 * Threads that come here at once each find or take a slot, and the first to say so makes its own
 * the process's; the others give theirs back, unused.  Nobody waits: this may be a signal handler
 * on top of the very thread that is about to say so.
 */
static struct moult_slot *slot_claim(void)
{
	struct moult_page *page = member_page;
	member_serves();
	uint32_t pid = (uint32_t)member_pid(), stale = 0;
	if (!pid || atomic_load(&own->crowded_out))
		return &page->slot[0];
	if (launcher_is_outside || pid_meaning() == PIDS_OTHER) {
		atomic_store(&own->crowded_out, 1);
		return &page->slot[0];
	}
	uint32_t mine = slot_find(pid, &stale);
	bool taken = !mine;
	if (taken)
		mine = slot_take_free(pid);
	if (!mine)
		mine = slot_take_dead(pid, &stale);
	if (!mine) {
		atomic_store(&own->crowded_out, 1); /* no further search */
		return &page->slot[0];
	}
	uint32_t used = atomic_load(&page->slots);
	while (used <= mine && !atomic_compare_exchange_weak(&page->slots, &used, mine + 1))
		;
	uint32_t none = 0;
	if (atomic_compare_exchange_strong(&own->slot, &none, mine)) {
		atomic_fetch_sub(&page->slot[mine].inflight, stale);
		return &page->slot[mine];
	}
	if (taken && none != mine) {
		atomic_fetch_sub(&page->slot[mine].inflight, stale);
		atomic_store(&page->slot[mine].pid, 0);
	}
	return &page->slot[none];
}

struct moult_slot *member_slot(void)
{
	struct moult_slot *slot = member_slot_if_any();
	return slot ? slot : slot_claim();
}
