/* SPDX-License-Identifier: MIT */
/*
 * The command line and the start of the test daemons.  Each test daemon is one translation unit
 * that includes legacy.h, which includes this file.
 *
 *   --tag=TAG                     name of the generation, which is in every answer
 *   --port=N  --ports=A-B         ports to bind; any number of them
 *   --unix=PATH  --unix=@NAME     a UNIX socket with a path or an abstract name; up to 8
 *   --type=stream|seqpacket|dgram
 *   --family=4|6|dual|both        127.0.0.1; ::1; ::, with IPv4; or the first two
 *   --host=ADDRESS                instead of the family's address
 *   --backlog=N  --nonblocking    of the listeners
 *   --reuseport[=master]          SO_REUSEPORT: each worker binds, or the master binds for each
 *   --processes=N  --threads=N  --respawn
 *   --wait=NAME  --model=NAME     the same option: NAME means what the program says
 *   --accept4  --stdio            accept with accept4(); serve with fdopen() and fclose()
 *   --tcp  --receive=CALL  --delay-answer=MS       (datagram.c, pidfile.c)
 *   --habit=NAME                  a habit of real daemons (legacy_habits.h); any number of them
 *   --fail=HOW  --fail-at=start|bound|listening|waiting      (legacy_stages.h)
 *   --start-delay=MS              sleeps before it does anything
 *   --stop-delay=MS               exits MS after SIGTERM
 *   --lock=FILE                   ends if another process has locked FILE, else locks it
 *   --notify  --ready-fd=N        when ready, sends READY=1 to NOTIFY_SOCKET, a newline to fd N
 *   --ready-after=MS              sends that MS later
 *   --report-signal=N             prints the signal; --exit-signal=N exits then; --ignore-signal=N
 *   --rebind-signal=N             closes the listeners and binds them again (waiter.c)
 *   --output=FILE                 where the program writes what it says it does
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/programs/legacy_habits.h"
#include "tests/programs/legacy_listener.h"
#include "tests/programs/legacy_settings.h"
#include "tests/programs/legacy_stages.h"

/* ---- --lock and --stop-delay ---- */

/*
 * Locks the data for as long as the process lives, as databases do.  Appends the tag and the pid,
 * so that a test sees the order of the holders.
 */
static void lock_data(const char *path)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		legacy_die(4, path);
	if (fcntl(fd, F_SETLK, &whole) < 0)
		legacy_die(3, "its data is used by another process");
	dprintf(fd, "%s %d\n", legacy.tag, (int)getpid());
}

/* Stops slowly, like a daemon that writes its memory to disk first. */
static void stop_slowly(int signal)
{
	(void)signal;
	sleep_ms(settings.stop_delay);
	_exit(0);
}

/* ---- --report-signal and --exit-signal ---- */

/* Prints "waiter g1: signal 15".  Uses only functions that a signal handler may call. */
static void signal_report(int signal)
{
	const char digits[] = {(char)('0' + signal / 10), (char)('0' + signal % 10), '\n', '\0'};
	const char *parts[] = {
	        legacy.program, " ", legacy.tag, ": signal ", digits + (signal < 10)};
	char text[128];
	size_t length = 0;
	for (size_t i = 0; i < COUNT(parts); i++)
		for (const char *c = parts[i]; *c && length < sizeof(text); c++)
			text[length++] = *c;
	(void)!write(STDERR_FILENO, text, length);
}

static void signal_report_and_exit(int signal)
{
	signal_report(signal);
	_exit(0);
}

/* ---- options ---- */

static int choice(const char *text, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, names[i]) == 0)
			return (int)i;
	errno = EINVAL;
	legacy_die(2, text);
}

static int socket_type(const char *text)
{
	static const char *const names[] = {"stream", "seqpacket", "dgram"};
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	return types[choice(text, names, COUNT(names))];
}

/* Installs a handler without SA_RESTART: the signal ends a wait with EINTR. */
static void signal_interrupting(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};
	sigaction(number, &action, NULL);
}

static void rebind_wanted(int signal)
{
	(void)signal;
	legacy_rebind_wanted = 1;
}

static void options_parse(int argc, char **argv)
{
	static const struct option known[] = {{"tag", 1, NULL, 't'}, {"port", 1, NULL, 'p'},
	        {"family", 1, NULL, 'f'}, {"backlog", 1, NULL, 'b'}, {"nonblocking", 0, NULL, 'n'},
	        {"accept4", 0, NULL, '4'}, {"processes", 1, NULL, 'N'}, {"wait", 1, NULL, 'w'},
	        {"model", 1, NULL, 'w'}, {"stdio", 0, NULL, 's'}, {"habit", 1, NULL, 'h'},
	        {"fail", 1, NULL, 'F'}, {"fail-at", 1, NULL, 'A'}, {"start-delay", 1, NULL, 'd'},
	        {"ready-after", 1, NULL, 'R'}, {"ready-fd", 1, NULL, 'r'}, {"notify", 0, NULL, 'y'},
	        {"report-signal", 1, NULL, 'S'}, {"exit-signal", 1, NULL, 'X'},
	        {"ignore-signal", 1, NULL, 'I'}, {"output", 1, NULL, 'o'}, {"ports", 1, NULL, 'P'},
	        {"unix", 1, NULL, 'u'}, {"type", 1, NULL, 'T'}, {"host", 1, NULL, 'H'},
	        {"reuseport", 2, NULL, 'e'}, {"respawn", 0, NULL, 'E'}, {"threads", 1, NULL, 'm'},
	        {"tcp", 0, NULL, 'c'}, {"receive", 1, NULL, 'v'}, {"delay-answer", 1, NULL, 'D'},
	        {"rebind-signal", 1, NULL, 'B'}, {"lock", 1, NULL, 'l'},
	        {"stop-delay", 1, NULL, 'L'}, {NULL, 0, NULL, 0}};
	int o;
	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (o) {
		case 't': legacy.tag = optarg; break;
		case 'p': port_add(atoi(optarg)); break;
		case 'P': ports_add(optarg); break;
		case 'u': path_add(optarg); break;
		case 'T': legacy.type = socket_type(optarg); break;
		case 'H': host_set(optarg); break;
		case 'e': reuseport_set(optarg); break;
		case 'E': legacy.respawn = true; break;
		case 'm': legacy.threads = atoi(optarg); break;
		case 'c': legacy.tcp = true; break;
		case 'v': legacy.receive = optarg; break;
		case 'D': legacy.delay = atoi(optarg); break;
		case 'B': signal_interrupting(atoi(optarg), rebind_wanted); break;
		case 'f':
			places.family =
			        (enum family)choice(optarg, family_names, COUNT(family_names));
			break;
		case 'b': legacy.backlog = atoi(optarg); break;
		case 'n': legacy.nonblocking = true; break;
		case '4': legacy.with_accept4 = true; break;
		case 'N': legacy.processes = atoi(optarg); break;
		case 'w': legacy.style = optarg; break;
		case 's': legacy.stdio = true; break;
		case 'h': habit_choose(optarg); break;
		case 'F': settings.fail = optarg; break;
		case 'A':
			settings.fail_at =
			        (enum stage)choice(optarg, stage_names, COUNT(stage_names));
			break;
		case 'd': settings.start_delay = atoi(optarg); break;
		case 'l': settings.lock = optarg; break;
		case 'L': settings.stop_delay = atoi(optarg); break;
		case 'R': settings.ready_after = atoi(optarg); break;
		case 'r': settings.ready_fd = atoi(optarg); break;
		case 'y': settings.notify = true; break;
		case 'S': signal(atoi(optarg), signal_report); break;
		case 'X': signal(atoi(optarg), signal_report_and_exit); break;
		case 'I': signal(atoi(optarg), SIG_IGN); break;
		case 'o': legacy.output = optarg; break;
		default: exit(2);
		}
}

/* ---- listeners ---- */

/* Makes all sockets, then binds all, then calls listen() on all. */
static void listeners_open(void)
{
	listeners_make();
	if (legacy_unbound)
		legacy_unbound();
	listeners_bind();
	reach(STAGE_BOUND);
	listeners_listen();
}

void legacy_rebind(void)
{
	for (int i = 0; i < legacy.listener_count; i++)
		close(legacy.listeners[i]);
	listeners_make();
	listeners_bind();
	listeners_listen();
	legacy_rebind_wanted = 0;
	fprintf(stderr, "%s %s: bound again\n", legacy.program, legacy.tag);
}

/* After habit_exec_listening() the numbers of the listeners are in the environment. */
static bool listeners_inherit(void)
{
	char *text = getenv("LEGACY_LISTENERS");
	if (!text)
		return false;
	for (char *end; legacy.listener_count < LEGACY_LISTENERS; text = end) {
		long fd = strtol(text, &end, 10);
		if (end == text)
			break;
		legacy.listeners[legacy.listener_count++] = (int)fd;
	}
	return true;
}

void legacy_start(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	legacy.program = slash ? slash + 1 : argv[0];
	settings.argv = argv;
	signal(SIGPIPE, SIG_IGN);
	options_parse(argc, argv);
	if (!listeners_inherit()) {
		if (settings.start_delay > 0)
			sleep_ms(settings.start_delay);
		reach(STAGE_START);
		if (settings.lock)
			lock_data(settings.lock);
		if (settings.stop_delay > 0)
			signal(SIGTERM, stop_slowly);
		if (legacy.reuseport == REUSEPORT_WORKER && legacy.processes > 0)
			return;
		listeners_open();
	}
	reach(STAGE_LISTENING);
}
