/* SPDX-License-Identifier: MIT */
/*
 * The launcher of one instance: its start, its signals, its children, its end.
 *
 * What an event means for the instance is decided in transitions.c.  The launcher's pid never
 * changes, so an init system has no other pid to follow.
 */
#include "helper/lifecycle/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/check/inspection.h"
#include "helper/control/server.h"
#include "helper/kernel/permitted.h"
#include "helper/lifecycle/abilities.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/attempt.h"
#include "helper/lifecycle/drain.h"
#include "helper/lifecycle/kept.h"
#include "helper/lifecycle/manager.h"
#include "helper/lifecycle/operator.h"
#include "helper/lifecycle/restart.h"
#include "helper/lifecycle/retire.h"
#include "helper/lifecycle/rollback.h"
#include "helper/process/background.h"
#include "helper/process/confine.h"
#include "helper/process/inherited.h"
#include "helper/process/launcher_pidfile.h"
#include "helper/process/notify_fd.h"
#include "helper/process/orphans.h"
#include "helper/process/paths.h"
#include "helper/requests/broker_process.h"
#include "helper/requests/channel.h"
#include "helper/requests/closing.h"
#include "helper/requests/publish.h"
#include "helper/state/instance.h"
#include "helper/state/pending.h"
#include "helper/switch/switch.h"

static struct watch signals = {.fd = -1};

/* ---- what happens to processes ---- */

static void remove_generation(struct instance *instance, struct generation *generation)
{
	struct generation **at = &instance->newest;
	while (*at != generation)
		at = &(*at)->older;
	*at = generation->older;
	publish_newness(instance, instance_is_busy(instance));
	closing_cancel(generation, -1);
	fdstore_expect_no_more(&instance->store, generation->id);
	channel_strike_off(generation);
	ledger_strike_off(generation->entry);
	generation_free(generation);
}

static void log_end(const struct generation *generation)
{
	char how[64];
	status_print(generation->main_status, how, sizeof(how));
	if (generation->state == GENERATION_CURRENT && generation_has_failed(generation))
		log_error("generation %u: %s", generation->id,
		        generation->main_exited ? how : "its processes ended");
	else
		log_notice("generation %u: %s%s", generation->id, generation->ending,
		        generation->main_exited ? how : "ended");
}

/* The keeper has been killed: the processes that it leaves are ended, as by a crash. */
static void end_orphans(struct instance *instance, const struct generation *generation)
{
	size_t left = orphans_end(instance->attempt->readiness.probe, SECOND);
	log_error("generation %u: its keeper process was killed, so moult has killed its other "
	          "processes",
	        generation->id);
	if (left)
		log_error("generation %u: %zu processes cannot be killed", generation->id, left);
}

/*
 * The keeper has ended, so no process of the generation is left.  The order matters:
 *   - the keeper's last reports come first: the reason of a failure may be among them;
 *   - EVENT_NEXT_KEEPER_ENDED and rollback_undo() need the generation, and come before it is freed;
 *   - the events after that look at the list of generations, and must not find it there.
 */
static void generation_gone(
        struct instance *instance, struct generation *generation, int keeper_status)
{
	generation->keeper = 0; /* the kernel may give this pid to another process now */
	ledger_keeper_ended(generation->entry);
	attempt_read_reports(generation);
	if (WIFSIGNALED(keeper_status))
		end_orphans(instance, generation);
	bool failed = generation_has_failed(generation);
	bool is_next = generation == instance->attempt->generation;
	restart_forget_if_old(generation);
	if (is_next) {
		transitions_event(instance, EVENT_NEXT_KEEPER_ENDED);
		rollback_undo(instance, generation);
	} else {
		log_end(generation);
	}
	bool is_current = generation == instance->current;
	if (is_current)
		instance_set_current(instance, NULL);
	remove_generation(instance, generation);
	if (is_next)
		transitions_event(instance, EVENT_NEXT_REMOVED);
	else if (is_current)
		transitions_happen(instance,
		        &(struct happening){.event = EVENT_CURRENT_REMOVED, .failed = failed});
	if (!instance->newest)
		transitions_event(instance, EVENT_NONE_LEFT);
	manager_tell_status(instance);
	operator_counted(instance); /* the status may have waited for this one's count */
	retire_unheld(instance);
	if (!instance_is_busy(instance) && instance->newest && !instance->newest->older)
		control_finish(VERB_UPGRADE, true, EXIT_DONE);
}

static void reap(struct instance *instance)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid < 0)
			continue;
		struct generation *g = instance->newest;
		while (g && g->keeper != pid)
			g = g->older;
		if (g)
			generation_gone(instance, g, status);
		/* If it is none of these, it is an orphan (helper/process/orphans.h). */
		else if (!channel_reaped(pid) && !paths_reaped(pid))
			(void)readiness_reaped(&instance->attempt->readiness, pid, status);
	}
}

static void surveyed(struct generation *generation)
{
	drain_counted(generation);
	operator_counted(generation->instance);
	manager_tell_status(generation->instance);
}

/*
 * Signals that were ignored when the launcher was started ("&", nohup) are not meant for it when
 * they come from the terminal.  With SIGHUP the sender does not matter: when a terminal closes, the
 * kernel tells the shell, and the shell sends SIGHUP to its jobs by kill().
 */
static bool is_obeyed(const struct instance *instance, const struct signalfd_siginfo *info)
{
	int number = (int)info->ssi_signo;
	if (!inherited_ignored(number))
		return true;
	if (number == SIGHUP)
		log_notice("SIGHUP is ignored, because it was ignored when moult was started (as "
		           "by nohup); to upgrade, use moult upgrade %s",
		        instance->name);
	return number != SIGHUP && info->ssi_code != SI_KERNEL;
}

static void signalled(void *context)
{
	struct signalfd_siginfo info;
	if (read(signals.fd, &info, sizeof(info)) != sizeof(info) || !is_obeyed(context, &info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(context);
	else
		operator_signalled(context, (int)info.ssi_signo);
}

/* ---- start ---- */

static int watch_signals(struct instance *instance)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals.fd < 0)
		return -errno;
	sigaddset(&set, SIGPIPE); /* blocked, not ignored: the daemon would inherit "ignored" */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signals.ready = signalled;
	signals.context = instance;
	return loop_watch(&signals);
}

/*
 * Logs at once why upgrades of this program will not work.  The program is started all the same and
 * runs as it would without us, unless it cannot be executed at all: then the exit status, else 0.
 */
static int inspect(struct instance *instance)
{
	int result = inspection_run(instance->settings.command, &instance->verdict,
	        instance->verdict_reason, sizeof(instance->verdict_reason));
	if (result < 0) {
		log_error("%s", instance->verdict_reason);
		return result == -ENOENT || result == -ENOTDIR ? EXIT_NOT_FOUND
		                                               : EXIT_CANNOT_EXECUTE;
	}
	if (instance->verdict_reason[0])
		log_error("%s", instance->verdict_reason);
	return 0;
}

static int write_pid_file(const char *path)
{
	pid_t owner = 0;
	int result = launcher_pidfile_write(path, &owner);
	if (result == -EBUSY && owner)
		log_error("pid file %s: belongs to process %d, which runs; choose another with "
		          "--pid-file",
		        path, owner);
	else if (result == -EBUSY)
		log_error(
		        "pid file %s: belongs to another process, which runs; choose another with "
		        "--pid-file",
		        path);
	else if (result == -EPERM)
		log_error("pid file %s: a symbolic link on the way to it is in a directory that "
		          "others may write to",
		        path);
	else if (result < 0)
		log_error("pid file %s: %s", path, strerror(-result));
	return result < 0 ? EXIT_FAILED : 0;
}

static int set_up(struct instance *instance, const struct options *options)
{
	char reason[400];
	int result = loop_init();
	if (result == 0)
		result = watch_signals(instance);
	if (result == 0)
		result = ledger_open();
	if (result == 0)
		result = channel_start(instance);
	if (result < 0) {
		log_error("cannot start: %s", strerror(-result));
		return EXIT_FAILED;
	}
	result = control_start(options->name, operator_request, instance, reason, sizeof(reason));
	if (result < 0) {
		log_error("%s", reason);
		return EXIT_FAILED;
	}
	return options->pid_file ? write_pid_file(options->pid_file) : 0;
}

/*
 * The launcher finds the processes of its generations in /proc, and could not end them otherwise.
 */
static bool proc_is_ours(void)
{
	char text[32];
	ssize_t length = readlink("/proc/self", text, sizeof(text) - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return atoi(text) == getpid();
}

/*
 * Other programs of the launcher's user may not trace the launcher or read its memory and
 * descriptors.  A child becomes dumpable again by exec.
 */
static void close_to_own_user(void)
{
#ifndef __SANITIZE_ADDRESS__ /* its leak check traces the process */
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* There is one, and confined children must be able to find its memory without being told. */
static struct instance the_only_instance;

/* For confined children: what they decode must not lead them to what others believe. */
static void unmap_shared(void)
{
	ledger_unmap();
	broker_process_unmap();
	for (struct generation *g = the_only_instance.newest; g; g = g->older) {
		(void)munmap(g->board, sizeof(*g->board));
		(void)munmap(g->tally, sizeof(*g->tally));
	}
}

/*
 * Keepers may have opened gates while the launcher was stopped.  The last event may have opened or
 * closed listeners.
 */
static void before_event(void *context)
{
	switch_assert(context);
	kept_tell(context);
}

/*
 * The launcher leaves no child behind.  The broker has been killed, and helper processes end by
 * themselves.  The wait ends after a second, for a process can hang inside the kernel.
 */
static void await_children(void)
{
	nanoseconds deadline = after(SECOND);
	while (waitpid(-1, NULL, WNOHANG) >= 0 && now() < deadline)
		nap(MILLISECOND);
}

static int start(struct instance *instance)
{
	enum event event; /* always STARTED, for no generation has to end first */
	int result = attempt_begin(instance, ATTEMPT_START, &instance->settings, &event);
	if (result < 0)
		log_error("cannot start %s: %s%s", instance->settings.command[0], strerror(-result),
		        result == -EFBIG
		                ? " (the limit on the size of files, ulimit -f, is too low)"
		                : "");
	return result < 0 ? EXIT_FAILED : 0;
}

static int run(struct instance *instance, const struct options *options,
        const struct passed *passed, unsigned passed_count)
{
	static struct attempt attempt = {.fallback = FALLBACK_NONE};
	instance->name = options->name;
	instance->background = options->background;
	instance->surveyed = surveyed;
	instance->since = time(NULL);
	instance->attempt = &attempt;
	if (settings_copy(&instance->settings, &options->settings) < 0)
		return EXIT_FAILED;
	int status = inspect(instance);
	if (!status)
		status = set_up(instance, options);
	if (status)
		return status;
	abilities_try();
	manager_open(instance);
	kept_take_back(instance, passed, passed_count);
	aside_recover(options->name, options->settings.aside);
	status = start(instance);
	if (status)
		return status;
	loop_run(before_event, instance);
	return instance->exit_status;
}

int supervisor_run(const struct options *options)
{
	struct instance *instance = &the_only_instance;
	struct passed *passed;
	unsigned passed_count = passed_take(&passed); /* first: LISTEN_PID is this process */
	int number = options->notify_fd;
	int result = number ? notify_fd_take(number) : 0;
	if (result < 0) {
		log_error("--notify-fd=%d: %s", number, strerror(-result));
		return EXIT_FAILED;
	}
	inherited_take_timers();
	if (options->background)
		background_begin();
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* processes of a killed keeper become our children */
	if (!proc_is_ours()) {
		log_error("cannot start: /proc is not mounted, or belongs to another pid "
		          "namespace; moult finds the program's processes in /proc");
		return EXIT_FAILED;
	}
	close_to_own_user();
	permitted_try();
	confine_register_memory(unmap_shared);
	int status = run(instance, options, passed, passed_count);
	channel_stop();
	await_children();
	if (options->pid_file)
		launcher_pidfile_remove();
	free(passed);
	fdstore_deinit(&instance->store);
	control_stop();
	background_done(status);
	settings_deinit(&instance->settings);
	return status;
}
