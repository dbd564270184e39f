/* SPDX-License-Identifier: MIT */
/* The broker's process: its start, its watch and its replacement. */
#include "helper/requests/broker_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "helper/base/close.h"
#include "helper/base/log.h"
#include "helper/process/confine.h"
#include "helper/process/discard.h"

/* The longest that a broker may take for one message. */
static const nanoseconds BROKER_PATIENCE = SECOND;
/*
 * The pause before the next start, after a broker that has ended at once or could not be started.
 */
static const nanoseconds BROKER_PAUSE = 100 * MILLISECOND;
static const nanoseconds LONGEST_PAUSE = 3600 * SECOND;

static struct roster *roster;
static bool is_broker;
static pid_t broker;             /* 0: none */
static nanoseconds broker_since; /* when it was started */
/*
 * Brokers that have been killed and have not ended.  A broker that hangs in the kernel may never
 * end, so nobody waits for it.  It does no harm: it executes nothing of our program any more, the
 * launcher has closed its end of the link, and the next broker accepts all connections.
 */
static pid_t abandoned[64];
static int listening = -1; /* the channel's socket; -1: no broker is started any more */
static struct watch link_to_broker = {.fd = -1};
static struct timer vigil, revival;

/* Twice as long for each broker that has not ended: so even in a year not many can pile up. */
static nanoseconds pause_before_next(void)
{
	nanoseconds pause = BROKER_PAUSE;
	for (size_t i = 0; i < COUNT(abandoned); i++)
		if (abandoned[i] && pause < LONGEST_PAUSE)
			pause *= 2;
	return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

static void forget_broker(nanoseconds pause)
{
	broker = 0;
	atomic_store(&roster->busy_since, 0);
	atomic_store(&roster->busy_with, 0);
	loop_unwatch(&link_to_broker);
	/* Not close(): the last message in the queue may have a socket whose close waits. */
	fd_discard(&link_to_broker.fd);
	if (listening >= 0)
		loop_after(&revival, pause);
}

void broker_process_abandon(void)
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

static void say_cut_off(const struct instance *instance)
{
	for (struct generation *g = instance->newest; g; g = g->older) {
		const struct roster_entry *entry = roster_find(roster, g->id);
		if (g->told_cut_off || !entry || !roster_is_cut_off(entry))
			continue;
		g->told_cut_off = true;
		log_error("generation %u: %d processes of moult hang in files or sockets that it "
		          "has sent; its requests get no answer until one of them ends",
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
		        "the broker, which receives the daemon's requests, hangs and is replaced");
		broker_process_abandon();
	} else
		loop_after(&vigil, BROKER_PATIENCE / 2);
}

/* ---- start ---- */

/*
 * The broker reads /proc, and keeps CAP_SYS_PTRACE to do so where /proc is mounted with hidepid.
 * The filter forbids ptrace(2) and any writing to files.  It does not forbid to read what root may
 * read.
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
 * The broker closes all that it does not need: otherwise a socket that the launcher closes would
 * live on here.  No close in it waits, because none is the last one: the launcher has everything
 * open, too, and waits (await_closes()).
 */
static _Noreturn void enter_broker(int link)
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
	close_from(BROKER_FIRST); /* also `begun`, which await_closes() waits for */
	is_broker = true;
	confine_leave_memory();
	confine_broker();
	broker_run(roster);
}

/* Waits, a second at most, until the broker has closed what it has inherited. */
static void await_closes(int begun)
{
	struct pollfd wait = {.fd = begun, .events = POLLIN};
	(void)poll(&wait, 1, 1000);
}

static void start_broker(void)
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
		signal(SIGCHLD, SIG_IGN); /* the kernel reaps the broker's children */
		enter_broker(ends[1]);
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
	if (loop_watch(&link_to_broker) < 0)
		broker_process_abandon(); /* tries again later */
}

static void revive(void *context)
{
	(void)context;
	start_broker();
}

/* ---- for the channel ---- */

void broker_process_expect_work(void)
{
	if (!vigil.armed)
		loop_after(&vigil, BROKER_PATIENCE / 2);
}

bool broker_process_reaped(pid_t pid)
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

void broker_process_unmap(void)
{
	if (roster && !is_broker)
		(void)munmap(roster, sizeof(*roster));
}

int broker_process_link(void)
{
	return link_to_broker.fd;
}

void broker_process_start(
        struct instance *instance, struct roster *shared, int socket, void (*ready)(void *context))
{
	roster = shared;
	listening = socket;
	link_to_broker.ready = ready;
	link_to_broker.context = vigil.context = instance;
	vigil.fire = look_after_broker;
	revival.fire = revive;
	start_broker();
}

void broker_process_stop(void)
{
	loop_cancel(&vigil);
	loop_cancel(&revival);
	listening = -1;
	broker_process_abandon();
}
