/* SPDX-License-Identifier: MIT */
/* Starting a generation: launcher -> keeper -> the daemon. */
#include "helper/process/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "helper/base/close.h"
#include "helper/process/confine.h"
#include "helper/process/inherited.h"
#include "helper/process/keeper.h"

/*
 * Replaces a standard stream by /dev/null, unless it is a file for output.  A terminal or a pipe
 * may be gone long before the daemon.
 */
static void detach(int fd)
{
	struct stat status;
	if (fd != STDIN_FILENO && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return;
	int null = open("/dev/null", O_RDWR);
	if (null >= 0 && null != fd) {
		(void)dup2(null, fd);
		close(null);
	}
}

/* Moves a descriptor of the launcher away from the number that the program wants for readiness. */
static int move_away(int fd, int number)
{
	return fd >= 0 && fd == number ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : fd;
}

static int place_ready_pipe(const struct spawn *spawn)
{
	if (spawn->ready_fd < 0)
		return 0;
	int result = spawn->ready_fd == spawn->ready_pipe
	                     ? fcntl(spawn->ready_fd, F_SETFD, 0)
	                     : dup2(spawn->ready_pipe, spawn->ready_fd);
	return result < 0 ? -errno : 0;
}

static _Noreturn void fail_to_execute(int failure, int error)
{
	/* Cannot fail: the pipe is empty.  The reader takes EOF for success. */
	(void)!write(failure, &error, sizeof(error));
	_exit(127);
}

static _Noreturn void execute(const struct spawn *spawn, int failure)
{
	/* A session of its own, as under an init system: a terminal's ^C goes to the launcher. */
	(void)setsid();
	if (spawn->background)
		for (int fd = 0; fd <= 2; fd++)
			detach(fd);
	failure = move_away(failure, spawn->ready_fd);
	int program = move_away(spawn->program, spawn->ready_fd);
	int result = place_ready_pipe(spawn);
	if (result < 0)
		fail_to_execute(failure, -result);
	inherited_give_pids(spawn->environment);
	inherited_give();
	if (program >= 0)
		(void)syscall(SYS_execveat, program, "", spawn->command, spawn->environment,
		        AT_EMPTY_PATH);
	/* Also after execveat() has failed: another file is better than none. */
	execvpe(spawn->command[0], spawn->command, spawn->environment);
	fail_to_execute(failure, errno);
}

static void send_report(int pipe, enum report_kind kind, int value, pid_t pid)
{
	struct report report = {kind, value, pid};
	(void)!write(pipe, &report, sizeof(report)); /* the launcher may be dead */
}

/*
 * Closes all descriptors but two, and replaces stdio by /dev/null: the keeper must not keep open a
 * pipe or socket whose end another process waits for.
 */
static void close_inherited(int one, int other)
{
	close_all_but(STDERR_FILENO + 1, one, other);
	for (int fd = 0; fd <= 2; fd++) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null > 2) {
			(void)dup3(null, fd, O_CLOEXEC);
			close(null);
		}
	}
}

static void daemon_exited(const struct keeper *keeper, int status)
{
	send_report(keeper->reports, REPORT_EXITED, status, keeper->daemon);
}

static void nothing_to_say(const struct keeper *keeper, int status)
{
	(void)keeper;
	(void)status;
}

static _Noreturn void keep(const struct spawn *spawn, int reports)
{
	int failure[2];
	int result = keeper_begin(spawn->entry);
	atomic_store(spawn->keeper, (int32_t)getpid());
	if (result == 0 && pipe2(failure, O_CLOEXEC) < 0)
		result = -errno;
	if (result < 0) {
		send_report(reports, REPORT_NOT_EXECUTED, -result, 0);
		_exit(1);
	}
	pid_t daemon = fork();
	if (daemon == 0)
		execute(spawn, failure[1]);
	if (daemon < 0) {
		send_report(reports, REPORT_NOT_EXECUTED, errno, 0);
		_exit(1);
	}
	close(failure[1]);
	int error = 0;
	bool executed = read(failure[0], &error, sizeof(error)) != sizeof(error);
	/* Before the report: until it comes the launcher closes no socket (discard_hold()). */
	close_inherited(reports, ledger_descriptor());
	send_report(reports, executed ? REPORT_EXECUTED : REPORT_NOT_EXECUTED, error, daemon);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* CAP_KILL: the keeper ends processes of its generation and wakes keepers of any user. */
	(void)confine_capabilities(1U << CAP_KILL);
	const struct keeper keeper = {.entry = spawn->entry,
	        .board = spawn->board,
	        .stop_signal = spawn->stop_signal,
	        .reports = reports,
	        .daemon = daemon,
	        .exited = error ? nothing_to_say : daemon_exited};
	keeper_run(&keeper);
}

int spawn_generation(const struct spawn *spawn, pid_t *ret_keeper, int *ret_reports)
{
	int reports[2];
	if (pipe2(reports, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pid_t keeper = fork();
	if (keeper == 0)
		keep(spawn, reports[1]);
	int error = keeper < 0 ? errno : 0;
	close(reports[1]);
	if (error) {
		close(reports[0]);
		return -error;
	}
	*ret_keeper = keeper;
	*ret_reports = reports[0];
	return 0;
}
