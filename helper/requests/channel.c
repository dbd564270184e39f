/* SPDX-License-Identifier: MIT */
/* The launcher's end of the contract. */
#include "helper/requests/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/process/confine.h"
#include "helper/process/discard.h"
#include "helper/process/spawn.h"
#include "helper/requests/beside.h"
#include "helper/requests/bind.h"
#include "helper/requests/closing.h"
#include "helper/requests/daemon_pidfile.h"
#include "helper/requests/handover.h"
#include "helper/requests/probe.h"
#include "helper/requests/unix_path.h"
#include "helper/switch/crowd.h"
#include "helper/switch/poke.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* A broker that is at one message for so long does not get on. */
static const nanoseconds BROKER_PATIENCE = SECOND;
/* One that ends at once, again and again, is started again after this pause. */
static const nanoseconds BROKER_PAUSE = 100 * MILLISECOND;
static const nanoseconds LONGEST_PAUSE = 3600 * SECOND;

static struct roster *roster;
static pid_t broker;             /* 0: none */
static nanoseconds broker_since; /* it runs since then */
/*
 * Brokers that have been killed and have not ended.  One that hangs in the kernel may never end, so
 * nobody waits for it.  It makes no step more in our program, has no link to us, and its reference to
 * the listening socket does no harm: whoever connects is accepted by the next one.
 */
static pid_t abandoned[64];
static struct watch server = {.fd = -1}; /* watched only to look after the broker */
static struct watch link_to_broker = {.fd = -1};
static struct timer vigil, revival;

/* ---- answers ---- */

/* The daemon shut it down: its own accepts fail and return, the queue stays for its successor. */
static struct answer handle_shut(struct instance *instance, struct generation *generation, int i)
{
	struct listener *listener = instance_listener(instance, (uint32_t)i);
	bool open = gate_get(generation, (uint32_t)i) == MOULT_GATE_OPEN;
	gate_set(generation, (uint32_t)i, MOULT_GATE_SHUT);
	generation_tell(generation);
	unsigned blocked = generation_inflight(generation);
	for (unsigned n = 0; open && n < blocked && n < 64; n++)
		poke_send(listener, instance->newest);
	crowd_begin(instance); /* looks after the pokes */
	return say(0, i, -1);
}

static struct answer handle_hello(struct generation *generation, const struct request *request)
{
	slots_empty(&generation->slots, request->asker.pid);
	if (!generation->is_joined) {
		generation->is_joined = true;
		generation->first_uid = request->asker.uid;
	}
	return (struct answer){{.listener = -1}, {generation->board_fd, generation->tally_fd}};
}

static struct answer handle_slot(struct generation *generation, const struct request *request)
{
	int slot = slots_give(&generation->slots, request->asker.pid);
	return say(slot < 0 ? slot : 0, slot < 0 ? -1 : slot, -1);
}

/* Options set before its turn; once it accepts, they are the shared socket's. */
static struct answer template_of(
        struct instance *instance, const struct generation *generation, int i)
{
	bool waits = gate_get(generation, (uint32_t)i) == MOULT_GATE_WARMING;
	return say(0, i, waits ? instance_listener(instance, (uint32_t)i)->template : -1);
}

static struct answer handle_removed(struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	bool stays = daemon_pidfile_is_newer(instance, generation, request);
	return say(stays ? 0 : -ENOENT, -1, -1);
}

/* Requests about a listener by a process that has its socket. */
static struct answer handle_holder(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	int i = request->listener;
	switch (request->verb) {
	case MOULT_LISTEN: return handover_listen_again(instance, generation, request);
	case MOULT_TEMPLATE: return template_of(instance, generation, i);
	case MOULT_SHUT: return handle_shut(instance, generation, i);
	case MOULT_CONNECTED: handover_connected(instance, generation, request); break;
	case MOULT_CLOSED: closing_begin(instance, generation, (uint32_t)i); break;
	default: return say(-EINVAL, -1, -1);
	}
	return say(0, i, -1); /* to nobody, after CLOSED */
}

static bool is_of_holder(struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	return instance_is_holder(instance, generation, request->listener) &&
	       request->socket == instance_listener(instance, (uint32_t)request->listener)->inode;
}

static struct answer handle(struct instance *instance, struct generation *generation,
        struct request *request, struct received *received)
{
	switch (request->verb) {
	case MOULT_HELLO: return handle_hello(generation, request);
	case MOULT_SLOT: return handle_slot(generation, request);
	case MOULT_BIND: return bind_choose_socket(instance, generation, request, received);
	case MOULT_BIND_BESIDE: return beside_allow(instance, generation, request);
	case MOULT_CALLING: return probe_finds_earlier(instance, generation, request);
	case MOULT_MOVED: return unix_path_moved(instance, generation, request);
	case MOULT_REPLACE: return unix_path_replace(instance, generation, request);
	case MOULT_UNLINKED: return unix_path_unlinked(instance, generation, request);
	case MOULT_REMOVED: return handle_removed(instance, generation, request);
	case MOULT_LISTEN:
		if (request->listener < 0)
			return handover_listen(instance, generation, request, received);
		break;
	case MOULT_CLOSED:
	case MOULT_SHUT:
	case MOULT_TEMPLATE:
	case MOULT_CONNECTED: break;
	}
	return is_of_holder(instance, generation, request)
	               ? handle_holder(instance, generation, request)
	               : say(-EBADF, -1, -1);
}

/* ---- to and from the broker ---- */

static void say_other_contract(struct generation *generation, uint32_t contract)
{
	if (generation->told_contract)
		return;
	generation->told_contract = true;
	log_error("a process asked in contract %u, this launcher speaks %u: libmoult.so and moult "
	          "are of different versions; the process runs as without moult",
	        contract, MOULT_CONTRACT);
}

static struct generation *generation_of(struct instance *instance, const struct request *request)
{
	struct generation *generation = instance->newest;
	while (generation && generation->id != request->generation)
		generation = generation->older;
	return generation;
}

static struct answer answer_to(
        struct instance *instance, struct request *request, struct received *received)
{
	struct generation *generation = generation_of(instance, request);
	if (!generation)
		return say(-EPERM, -1, -1);
	if ((int)request->verb == 0) {
		say_other_contract(generation, (uint32_t)request->backlog);
		return say(-EPROTO, -1, -1);
	}
	return handle(instance, generation, request, received);
}

/* Twice as long with each that has not ended: of those that never end there are not many in a year. */
static nanoseconds pause_before_next(void)
{
	nanoseconds pause = BROKER_PAUSE;
	for (size_t i = 0; i < COUNT(abandoned); i++)
		if (abandoned[i] && pause < LONGEST_PAUSE)
			pause *= 2;
	return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

/* There is no broker any more. What it has sent last may be a socket whose close waits. */
static void forget_broker(nanoseconds pause)
{
	broker = 0;
	atomic_store(&roster->busy_since, 0);
	atomic_store(&roster->busy_with, 0);
	loop_unwatch(&link_to_broker);
	fd_discard(&link_to_broker.fd);
	if (server.fd >= 0)
		loop_after(&revival, pause);
}

/* It is not waited for. */
static void abandon_broker(void)
{
	if (!broker)
		return;
	struct roster_entry *entry = roster_find(roster, atomic_load(&roster->busy_with));
	(void)kill(broker, SIGKILL);
	if (entry)
		roster_note_stuck(entry, broker);
	for (size_t i = 0; i < COUNT(abandoned); i++)
		if (!abandoned[i]) {
			abandoned[i] = broker;
			break;
		}
	forget_broker(pause_before_next());
}

static void send_answer(const struct answer *answer)
{
	struct iovec part = {(void *)(uintptr_t)&answer->reply, sizeof(answer->reply)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(MOULT_DESCRIPTORS * sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	size_t count = (size_t)(answer->fds[0] >= 0) + (answer->fds[1] >= 0);
	if (count) {
		struct cmsghdr *header = (struct cmsghdr *)(void *)space;
		*header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		        .cmsg_type = SCM_RIGHTS,
		        .cmsg_len = CMSG_LEN(count * sizeof(int))};
		memcpy(CMSG_DATA(header), answer->fds, count * sizeof(int));
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	if (sendmsg(link_to_broker.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
	        errno == EPIPE || errno == ECONNRESET) /* it has died: waitpid() tells */
		return;
	/* It would wait for this answer for ever, and all others behind it. */
	log_error("a daemon's request could not be answered: %s; the daemon goes on as without "
	          "moult",
	        strerror(errno));
	abandon_broker();
}

/* The request's descriptors, in the broker's order. */
static void assign(struct request *request, struct received *received, const int *fds, size_t count)
{
	size_t next = 0;
	bool socket = request->socket_fd >= 0 && request->is_known &&
	              (request->verb == MOULT_BIND ||
	                      (request->verb == MOULT_LISTEN && request->listener < 0));
	*received = (struct received){-1};
	if (socket && next < count)
		received->socket = fds[next++];
	request->socket_fd = received->socket;
	request->directory_fd = request->directory_fd >= 0 && next < count ? fds[next++] : -1;
	request->other_fd = request->other_fd >= 0 && next < count ? fds[next++] : -1;
}

/* A broker that keeps to its part sends none of these. */
static void discard_all_but(const struct request *request, const struct received *received,
        const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int fd = fds[i];
		if (fd != received->socket && fd != request->directory_fd &&
		        fd != request->other_fd)
			fd_discard(&fd);
	}
}

static void start_broker(struct instance *instance);

static void broker_speaks(void *context)
{
	struct instance *instance = context;
	struct request request;
	struct received received;
	struct iovec part = {&request, sizeof(request)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(3 * sizeof(int))];
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	ssize_t length = recvmsg(link_to_broker.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0) /* no memory: it is still there, or the end of the broker is */
		return;
	if (length != sizeof(request)) { /* it has ended, or shall */
		abandon_broker();
		return;
	}
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	size_t count = 0;
	int fds[4]; /* CMSG_SPACE() rounds up: the kernel may put one more there */
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	}
	assign(&request, &received, fds, count);
	discard_all_but(&request, &received, fds, count);
	if (message.msg_flags & MSG_CTRUNC)
		log_error(
		        "a descriptor sent by the daemon could not be taken: the launcher's limit "
		        "of open files (ulimit -Hn) is too low");
	struct answer answer = answer_to(instance, &request, &received);
	send_answer(&answer);
	fd_discard(&received.socket);
	fd_discard(&request.directory_fd);
	fd_discard(&request.other_fd);
}

/* ---- the broker's life ---- */

static void revive(void *context)
{
	start_broker(context);
}

/*
 * The broker receives, looks at what it has received, and answers.  It reads /proc, and keeps the right to
 * where that is mounted with hidepid (CAP_SYS_PTRACE).  The filter forbids ptrace(2) and writing, but not
 * to read what root may read.
 */
static void confine_broker(void)
{
	static const unsigned short calls[] = {SYS_read, SYS_write, SYS_close, SYS_dup3,
	        SYS_accept4, SYS_recvmsg, SYS_sendmsg, SYS_getsockopt, SYS_getsockname,
	        SYS_getpeername, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_fcntl, SYS_ppoll,
	        SYS_clock_gettime, SYS_pipe2, SYS_clone, SYS_set_robust_list, SYS_rseq, SYS_gettid,
	        SYS_getpid, SYS_getppid, SYS_prlimit64, SYS_close_range, SYS_rt_sigprocmask,
	        SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit, SYS_exit_group,
#ifdef SYS_poll /* the calls of older architectures */
	        SYS_poll, SYS_fork
#endif
	};
	static const struct confine_open opens[] = {
	        {SYS_openat, 2},
#ifdef SYS_open
	        {SYS_open, 1},
#endif
	};
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)confine_capabilities(1u << CAP_SYS_PTRACE);
	confine_calls(calls, COUNT(calls), opens, COUNT(opens), EPERM);
}

/*
 * Nothing is open in the broker but what it works with: what the launcher has open must be able to
 * end.  The launcher has a reference to each, so none of these closes is the last one.
 */
static _Noreturn void enter_broker(int listening, int link)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high = fcntl(listening, F_DUPFD_CLOEXEC, BROKER_FIRST);
	link = fcntl(link, F_DUPFD_CLOEXEC, BROKER_FIRST);
	if (null < 0 || high < 0 || link < 0)
		_exit(1);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup3(null, fd, O_CLOEXEC);
	dup3(high, BROKER_SERVER, O_CLOEXEC);
	dup3(link, BROKER_LINK, O_CLOEXEC);
	close_from(BROKER_FIRST); /* `begun` among them: the launcher sees its end */
	confine_leave_memory();
	confine_broker();
	broker_run(roster);
}

/* Until the broker has closed all that it has inherited: none of these closes was the last one. */
static void await_closes(int begun)
{
	struct pollfd wait = {.fd = begun, .events = POLLIN};
	(void)poll(&wait, 1, 1000);
}

static void start_broker(struct instance *instance)
{
	int ends[2], begun[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		loop_after(&revival, BROKER_PAUSE);
		return;
	}
	if (pipe2(begun, O_CLOEXEC) < 0)
		begun[0] = begun[1] = -1;
	pid_t launcher = getpid();
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "moult-broker");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != launcher)
			_exit(0);
		signal(SIGCHLD, SIG_IGN); /* children are let go, and not waited for */
		enter_broker(server.fd, ends[1]);
	}
	close(ends[1]);
	fd_close(&begun[1]);
	if (pid > 0)
		await_closes(begun[0]);
	fd_close(&begun[0]);
	if (pid < 0) {
		close(ends[0]);
		loop_after(&revival, BROKER_PAUSE);
		return;
	}
	broker = pid;
	broker_since = now();
	link_to_broker.fd = ends[0];
	link_to_broker.ready = broker_speaks;
	link_to_broker.context = instance;
	if (loop_watch(&link_to_broker) < 0)
		abandon_broker(); /* the next one may have more luck */
}

bool channel_reaped(pid_t pid)
{
	if (broker && pid == broker) {
		forget_broker(now() - broker_since < BROKER_PAUSE ? BROKER_PAUSE : 0);
		return true;
	}
	for (size_t i = 0; pid && i < COUNT(abandoned); i++)
		if (abandoned[i] == pid) {
			abandoned[i] = 0;
			return true;
		}
	return false;
}

static void say_cut_off(const struct instance *instance)
{
	for (struct generation *g = instance->newest; g; g = g->older) {
		const struct roster_entry *entry = roster_find(roster, g->id);
		if (g->told_cut_off || !entry || !roster_is_cut_off(entry))
			continue;
		g->told_cut_off = true;
		log_error("generation %u: %d processes of moult hang in files or sockets that it "
		          "has sent; it is not served while they do",
		        g->id, STUCK_MOST);
	}
}

static void look_after_broker(void *context)
{
	static struct log_limit limit;
	nanoseconds since = atomic_load(&roster->busy_since);
	say_cut_off(context);
	if (!since || !broker)
		return;
	if (now() - since > BROKER_PATIENCE) {
		log_limited(&limit, LOG_LEVEL_ERROR,
		        "the process that talks to the daemon does not get on, and is replaced");
		abandon_broker();
	} else
		loop_after(&vigil, BROKER_PATIENCE / 2);
}

/* Somebody has connected: the broker has something to do, and is looked at a little later. */
static void connected(void *context)
{
	(void)context;
	if (!vigil.armed)
		loop_after(&vigil, BROKER_PATIENCE / 2);
}

/* ---- the roster ---- */

struct roster_entry *channel_enroll(const struct generation *generation)
{
	for (size_t i = 0; i < ROSTER_MOST; i++) {
		struct roster_entry *entry = &roster->entries[i];
		if (atomic_load(&entry->generation))
			continue;
		memcpy(entry->token, generation->token, sizeof(entry->token));
		atomic_store(&entry->keeper, 0);
		atomic_store(&entry->generation, generation->id);
		return entry;
	}
	return NULL;
}

void channel_strike_off(const struct generation *generation)
{
	for (size_t i = 0; i < ROSTER_MOST; i++)
		if (atomic_load(&roster->entries[i].generation) == generation->id)
			atomic_store(&roster->entries[i].generation, 0);
}

/* ---- start and end ---- */

static int open_server(struct instance *instance)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned char random[8];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -errno;
	int length = snprintf(instance->channel_address, sizeof(instance->channel_address),
	        "moult-%d-%02x%02x%02x%02x%02x%02x%02x%02x", getpid(), random[0], random[1],
	        random[2], random[3], random[4], random[5], random[6], random[7]);
	memcpy(address.sun_path + 1, instance->channel_address, (size_t)length);
	server.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
	if (server.fd < 0 || bind(server.fd, (struct sockaddr *)&address, size) < 0 ||
	        listen(server.fd, 512) < 0) /* by this process: the shim looks who it was */
		return -errno;
	return 0;
}

int channel_start(struct instance *instance)
{
	roster = mmap(
	        NULL, sizeof(*roster), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (roster == MAP_FAILED)
		return -errno;
	int result = open_server(instance);
	if (result < 0)
		return result;
	vigil.fire = look_after_broker;
	vigil.context = instance;
	revival.fire = revive;
	revival.context = instance;
	server.ready = connected;
	server.once = true;
	result = loop_watch(&server);
	if (result == 0)
		start_broker(instance);
	return result;
}

/*
 * The socket stays open until the launcher's exit.  Closing it would drop what strangers have queued
 * there, and the close of a socket among that could wait (helper/requests/broker.c).
 */
void channel_stop(void)
{
	loop_unwatch(&server);
	loop_cancel(&vigil);
	loop_cancel(&revival);
	server.fd = -1;
	abandon_broker();
}
