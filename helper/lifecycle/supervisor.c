/* SPDX-License-Identifier: MIT */
/*
 * The launcher of one instance.
 *
 * The one loop brings signals, requests of operators and ends of processes here.  This file decides
 * what they mean for the instance; upgrade.c and drain.c decide what they mean for a generation.
 * The launcher's pid never changes, so an init system has no other pid to follow.
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
#include "helper/control/status.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/tree.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/drain.h"
#include "helper/lifecycle/upgrade.h"
#include "helper/process/background.h"
#include "helper/process/confine.h"
#include "helper/process/inherited.h"
#include "helper/process/launcher_pidfile.h"
#include "helper/process/paths.h"
#include "helper/requests/channel.h"
#include "helper/requests/closing.h"
#include "helper/requests/publish.h"
#include "helper/state/instance.h"
#include "helper/state/pending.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

static const nanoseconds RESTART_FIRST = 100 * MILLISECOND;
static const nanoseconds RESTART_MOST = 10 * SECOND;
/* A daemon that goes into the background: its parent exits within this time after readiness. */
static const nanoseconds BACKGROUND_PATIENCE = 5 * SECOND;
/* At most so long `moult stop` waits until the daemon has accepted what is queued. */
static const nanoseconds QUEUE_PATIENCE = 5 * SECOND;

static struct instance instance;
static struct watch signals = {.fd = -1};
static struct timer restart_timer, stop_timer, status_timer, unheld_timer;
static nanoseconds restart_delay, queue_deadline;
static bool restart_is_owed; /* an upgrade began while a restart was due */
static int exit_status;

/* ---- the end ---- */

static void end(int status)
{
	exit_status = status;
	loop_end();
}

static bool is_stopping(void)
{
	return instance.state == INSTANCE_DRAINING || instance.state == INSTANCE_STOPPING;
}

static bool is_needed(uint32_t i)
{
	return instance.current && drain_needs(instance.current, i);
}

static bool is_datagram(uint32_t i)
{
	return identity_is_datagram(&instance_listener(&instance, i)->identity);
}

/*
 * A blocked accept() returns when its queue is closed.  A blocked read of a datagram socket does
 * not, and its generation would never count as empty.  So a poke ends the read, as at a switch.
 * The poke is a datagram, so the socket must let datagrams in for this.
 */
static void release_readers(void)
{
	for (uint32_t i = 0; i < instance.store.count; i++)
		if (is_datagram(i) && instance_listener(&instance, i)->state == LISTENER_RETIRING)
			listener_admit(instance_listener(&instance, i));
	for (struct generation *g = instance.newest; g; g = g->older)
		if (generation_inflight(g))
			(void)switch_release(&instance, g);
}

/*
 * Closes the gates, then the sockets.  `all` false: not the sockets by which the services of the
 * current generation reach each other.  Its drain closes those.
 */
static void close_listeners(bool all)
{
	for (struct generation *g = instance.newest; g; g = g->older) {
		for (uint32_t i = 0; i < instance.store.count; i++)
			if (g->holds[i] && gate_get(g, i) == MOULT_GATE_OPEN &&
			        (all || !is_needed(i)))
				gate_end(g, i);
		generation_tell(g);
	}
	for (uint32_t i = 0; i < instance.store.count; i++)
		if ((all || !is_needed(i)) && !is_datagram(i))
			listener_close(instance_listener(&instance, i));
	release_readers();
	for (uint32_t i = 0; i < instance.store.count; i++)
		if (all || !is_needed(i))
			listener_close(instance_listener(&instance, i));
	publish_addresses(&instance);
}

static void abandon_upgrade(void)
{
	upgrade_abandon();
	control_finish(VERB_UPGRADE, false, EXIT_FAILED);
	control_finish(VERB_UPGRADE, true, EXIT_FAILED);
}

static void stop_now(void)
{
	loop_cancel(&restart_timer);
	loop_cancel(&stop_timer);
	ledger_announce_end();
	abandon_upgrade();
	instance_set_state(&instance, INSTANCE_STOPPING);
	close_listeners(true);
	for (struct generation *g = instance.newest; g; g = g->older)
		drain_stop(g, g->settings.kill_after);
	if (!instance.newest)
		end(EXIT_DONE);
}

/*
 * Runs until the queues are empty: new SYNs are dropped meanwhile, what is queued is accepted.
 * Then the gates close, and after the gates the sockets.  In this order an accept() that finds its
 * socket closed looks at the gate, sees it closed, and waits instead of failing.
 */
static void stop_look(void *context)
{
	(void)context;
	struct port_set handshakes;
	bool empty = audit_handshakes(&handshakes) == 0;
	for (uint32_t i = 0; i < instance.store.count; i++)
		empty &= is_needed(i) || instance_listener(&instance, i)->state == LISTENER_GONE ||
		         listener_is_empty(instance_listener(&instance, i), &handshakes);
	if (!empty && instance.current && now() < queue_deadline) {
		loop_after(&stop_timer, 5 * MILLISECOND);
		return;
	}
	close_listeners(false);
	if (instance.current)
		drain_begin(&instance, instance.current);
	instance.current = NULL;
}

static void stop_with_drain(void)
{
	loop_cancel(&restart_timer);
	ledger_announce_end();
	abandon_upgrade();
	instance_set_state(&instance, INSTANCE_DRAINING);
	if (instance.current)
		survey_hurry(instance.current);
	for (uint32_t i = 0; i < instance.store.count; i++) {
		struct generation *acceptor = instance_acceptor(&instance, i);
		if (is_needed(i))
			continue;
		if (acceptor)
			drain_refuse(acceptor, i);
		else
			listener_refuse(instance_listener(&instance, i));
	}
	publish_addresses(&instance);
	nanoseconds patience = instance.settings.drain_timeout;
	queue_deadline = after(patience < QUEUE_PATIENCE ? patience : QUEUE_PATIENCE);
	stop_timer.fire = stop_look;
	loop_after(&stop_timer, 0);
	if (!instance.newest)
		end(EXIT_DONE);
}

/* ---- restart ---- */

static void restart(void *context)
{
	(void)context;
	if (upgrade_is_running() || is_stopping())
		return;
	int result = upgrade_begin(UPGRADE_RESTART, &instance.settings);
	if (result < 0) {
		log_error("cannot start the program again: %s", strerror(-result));
		loop_after(&restart_timer, RESTART_MOST);
	}
}

static void schedule_restart(void)
{
	char time[32];
	restart_timer.fire = restart;
	duration_print(restart_delay, time, sizeof(time));
	log_notice("starting again in %s", time);
	loop_after(&restart_timer, restart_delay);
	restart_delay = restart_delay * 2 < RESTART_MOST ? restart_delay * 2 : RESTART_MOST;
}

static bool wants_restart(bool failed)
{
	return instance.settings.restart == RESTART_ALWAYS ||
	       (instance.settings.restart == RESTART_ON_FAILURE && failed);
}

static bool has_failed(const struct generation *generation)
{
	return !generation->main_exited || !WIFEXITED(generation->main_status) ||
	       WEXITSTATUS(generation->main_status) != 0;
}

/* A generation that got its drain signal may have closed its listeners. */
static bool may_step_in(const struct generation *generation)
{
	bool was_told = generation->settings.drain_signal && !generation->drain_signal_due;
	return generation->state == GENERATION_DRAINING &&
	       (!was_told || generation_waits(generation));
}

/*
 * The current generation has ended.  If another one still drains, the newest of those becomes the
 * current one and accepts, until a restart or an upgrade replaces it.
 */
static bool predecessor_steps_in(void)
{
	struct generation *g = instance.newest;
	while (g && !may_step_in(g))
		g = g->older;
	if (!g)
		return false;
	log_notice("generation %u: serves again", g->id);
	drain_cancel(g);
	instance.current = g;
	switch_back(&instance, NULL);
	moves_begin(&instance, settings_retire_after(&g->settings));
	return true;
}

/*
 * The current generation has ended: starts a new one or ends the instance.  A predecessor may have
 * become current instead; then the instance goes on.  `failed` counts for --restart=on-failure.
 */
static void after_the_end(bool failed)
{
	if (upgrade_is_running())
		return; /* upgrade_over() decides */
	if (wants_restart(failed)) {
		if (!instance.current)
			instance_set_state(&instance, INSTANCE_STARTING);
		schedule_restart();
	} else if (!instance.current) {
		if (instance.newest) { /* others have their stop signal and are about to end */
			close_listeners(true);
			instance_set_state(&instance, INSTANCE_DRAINING);
			exit_status = failed ? EXIT_FAILED : EXIT_DONE;
		} else
			end(failed ? EXIT_FAILED : EXIT_DONE);
	}
}

/* ---- what happens to processes ---- */

/*
 * The first process of the current generation has ended and other processes are left.  Three cases:
 *   - the parent of a daemon that went into the background: it exited soon and with status 0, and a
 *     child holds the listeners.  Nothing has to be done;
 *   - the master of prefork workers: the workers go on accepting;
 *   - otherwise nobody accepts.  The processes that are left finish their connections.
 */
static void look_at_aftermath(void *context)
{
	struct generation *generation = context;
	char how[64];
	bool failed = has_failed(generation);
	siginfo_t keeper = {0};
	if (generation != instance.current || is_stopping())
		return;
	/* The launcher may have been stopped: the keeper has ended and SIGCHLD is not read yet. */
	if (waitid(P_PID, (id_t)generation->keeper, &keeper, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	        keeper.si_pid)
		return;
	if (upgrade_is_running()) { /* afterwards another generation may be current */
		loop_after(&generation->aftermath, 200 * MILLISECOND);
		return;
	}
	bool holds = survey_holds_any(generation);
	if (holds && survey_is_looking(generation)) { /* `holds` is only a guess yet */
		loop_after(&generation->aftermath, 200 * MILLISECOND);
		return;
	}
	bool young = !generation->is_ready || now() - generation->ready < BACKGROUND_PATIENCE;
	if (holds && !failed && young)
		return;
	if (holds && generation_has_workers(generation)) {
		status_print(generation->main_status, how, sizeof(how));
		log_error("generation %u: its first process %s; others of it serve on",
		        generation->id, how);
		if (wants_restart(failed))
			schedule_restart();
		return;
	}
	status_print(generation->main_status, how, sizeof(how));
	log_error("generation %u: its first process %s; what is left of it does not accept",
	        generation->id, how);
	if (wants_restart(failed)) {
		schedule_restart();
		return;
	}
	exit_status = failed ? EXIT_FAILED : EXIT_DONE;
	stop_with_drain();
}

/*
 * Looks after 50 ms: if this was the last process of the generation, its keeper has ended by then,
 * and generation_gone() has handled the end.
 */
static void main_ended(struct generation *generation)
{
	if (generation != instance.current)
		return;
	generation->aftermath.fire = look_at_aftermath;
	generation->aftermath.context = generation;
	loop_after(&generation->aftermath, 50 * MILLISECOND);
}

/*
 * Closes listeners that no generation holds: clients would only wait there.  One that the current
 * generation may still take up is kept until the time for late listeners is over
 * (helper/switch/moves.h).
 */
static void close_unheld(void *context)
{
	bool awaited = false;
	(void)context;
	if (!instance.current || upgrade_is_running())
		return;
	for (uint32_t i = 0; i < instance.store.count; i++)
		if (moves_are_awaited(&instance, i))
			awaited = true;
		else if (instance_is_unheld(&instance, i))
			listener_close(instance_listener(&instance, i));
	publish_addresses(&instance);
	if (awaited && instance.retire_at != NEVER) {
		unheld_timer.fire = close_unheld;
		loop_after(&unheld_timer, instance.retire_at - now());
	}
}

static void look_at_status(void);

static void remove_generation(struct generation *generation)
{
	struct generation **at = &instance.newest;
	while (*at != generation)
		at = &(*at)->older;
	*at = generation->older;
	publish_newness(&instance, upgrade_is_running());
	closing_cancel(generation, -1);
	fdstore_expect_no_more(&instance.store, generation->id);
	channel_strike_off(generation);
	ledger_strike_off(generation->entry);
	generation_free(generation);
}

static void log_end(const struct generation *generation)
{
	char how[64];
	status_print(generation->main_status, how, sizeof(how));
	if (generation->state == GENERATION_CURRENT && has_failed(generation))
		log_error("generation %u: %s", generation->id,
		        generation->main_exited ? how : "its processes ended");
	else
		log_notice("generation %u: %s%s", generation->id, generation->ending,
		        generation->main_exited ? how : "ended");
}

static void generation_gone(struct generation *generation)
{
	bool failed = has_failed(generation), was_current = generation == instance.current;
	if (generation->is_ready && now() - generation->ready > RESTART_MOST)
		restart_delay = RESTART_FIRST; /* it ran long enough: no crash loop */
	if (upgrade_concerns(generation))
		upgrade_generation_gone(generation);
	else
		log_end(generation);
	bool bereft = was_current && instance.current == generation;
	if (bereft)
		instance.current = NULL;
	remove_generation(generation);
	if (bereft && !is_stopping()) {
		predecessor_steps_in();
		after_the_end(failed);
	}
	upgrade_go_on();
	if (status_timer.armed) /* the status may have waited for this generation's count */
		look_at_status();
	close_unheld(NULL);
	if (is_stopping() && !instance.newest)
		end(exit_status);
	if (!upgrade_is_running() && instance.newest && !instance.newest->older)
		control_finish(VERB_UPGRADE, true, EXIT_DONE);
}

static void reap(void)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid < 0)
			continue;
		struct generation *g = instance.newest;
		while (g && g->keeper != pid)
			g = g->older;
		if (!g) {
			/* If it is none of these, it is an orphan of a killed keeper. */
			if (!channel_reaped(pid) && !paths_reaped(pid))
				(void)upgrade_reaped(pid, status);
			continue;
		}
		g->keeper = 0; /* the kernel may give this pid to another process now */
		ledger_keeper_ended(g->entry);
		upgrade_read_reports(g);
		generation_gone(g);
	}
}

/* ---- upgrades ---- */

static void start_done(int status)
{
	if (status == EXIT_DONE) {
		background_done(status);
		return;
	}
	if (status == EXIT_FAILED && wants_restart(true) && !instance.background) {
		instance_set_state(&instance, INSTANCE_STARTING);
		schedule_restart();
		return;
	}
	end(status);
}

static void upgrade_over(enum upgrade_kind kind, int status)
{
	close_unheld(NULL);
	if (status == EXIT_DONE && kind == UPGRADE_REQUESTED)
		restart_delay = RESTART_FIRST;
	if (kind == UPGRADE_START)
		start_done(status);
	else if (kind == UPGRADE_REQUESTED) {
		control_finish(VERB_UPGRADE, false, status);
		bool alone = instance.newest && !instance.newest->older;
		if (status != EXIT_DONE || alone)
			control_finish(VERB_UPGRADE, true, status);
	}
	if (status == EXIT_DONE || kind == UPGRADE_START || is_stopping())
		return;
	/* A restart beside a predecessor that serves again has failed, or an upgrade took its place. */
	bool is_due = instance.current && (kind == UPGRADE_RESTART || restart_is_owed);
	if (!instance.current || is_due)
		after_the_end(true);
}

static bool cannot_be_reached(enum inspect_verdict verdict)
{
	return verdict == INSPECT_STATIC || verdict == INSPECT_SECURE ||
	       verdict == INSPECT_HIDDEN || verdict == INSPECT_ELSEWHERE;
}

/* Is an upgrade refused at once?  The exit status and a line for the operator; 0: it is not. */
static int refusal(const struct settings *settings, char *text, size_t size)
{
	enum inspect_verdict verdict;
	char reason[400];
	if (is_stopping()) {
		snprintf(text, size, "moult: %s is stopping", instance.name);
		return EXIT_FAILED;
	}
	const struct generation *only = instance.current ? instance.current : instance.next;
	if (cannot_be_reached(instance.verdict) ||
	        (instance.verdict == INSPECT_GO && only && !only->held)) {
		snprintf(text, size, "moult: %s: %s", instance.name, instance.verdict_reason);
		return EXIT_FAILED;
	}
	if (upgrade_is_running()) {
		snprintf(text, size, "moult: %s: %s (generation %u)", instance.name,
		        upgrade_running_kind() == UPGRADE_REQUESTED ? "another upgrade is running"
		                                                    : "it is still starting",
		        upgrade_running_id());
		return EXIT_BUSY;
	}
	if (instance.current && !instance.current->held) {
		snprintf(text, size,
		        "moult: %s: generation %u has no listening socket that moult could hand "
		        "over%s%s; it still runs",
		        instance.name, instance.current->id, instance.verdict_reason[0] ? ": " : "",
		        instance.verdict_reason);
		return EXIT_FAILED;
	}
	int result = inspection_run(settings->command, &verdict, reason, sizeof(reason));
	const char *who = instance.current ? "; the current generation still serves" : "";
	if (result < 0) {
		snprintf(text, size, "moult: %s: %s%s", instance.name, reason, who);
		return result == -ENOENT || result == -ENOTDIR ? EXIT_NOT_FOUND
		                                               : EXIT_CANNOT_EXECUTE;
	}
	if (verdict == INSPECT_FOREIGN || cannot_be_reached(verdict)) {
		snprintf(text, size, "moult: %s: %s%s", instance.name, reason, who);
		return verdict == INSPECT_FOREIGN ? EXIT_CANNOT_EXECUTE : EXIT_FAILED;
	}
	if (verdict == INSPECT_UNKNOWN)
		log_error("%s", reason);
	return 0;
}

static void count_refused(const char *text, const nanoseconds began)
{
	struct upgrade_counts *counts = &instance.upgrades;
	counts->failed++;
	counts->any = true;
	counts->last_completed = false;
	counts->last_duration = now() - began;
	counts->last_generation = instance.last_id + 1;
	const char *reason = strstr(text, ": ");
	snprintf(
	        counts->last_reason, sizeof(counts->last_reason), "%s", reason ? reason + 2 : text);
}

/* With --quiet the client holds the lines back itself, and prints them if the upgrade fails. */
static enum log_level attached_level(const struct options *options)
{
	return options->level < LOG_LEVEL_NOTICE ? LOG_LEVEL_NOTICE : options->level;
}

/* `client` may be NULL (SIGHUP). */
static void request_upgrade(struct control_client *client, int count, char **words)
{
	struct options options;
	char text[700];
	options_default(&options);
	settings_deinit(&options.settings);
	int status = settings_copy(&options.settings, &instance.settings) < 0 ? EXIT_FAILED : 0;
	snprintf(text, sizeof(text), "moult: %s: out of memory", instance.name);
	if (!status && options_parse(&options, VERB_UPGRADE, count, words, text, sizeof(text)) < 0)
		status = EXIT_USAGE;
	if (!status) {
		status = refusal(&options.settings, text, sizeof(text));
		if (status && status != EXIT_BUSY && !is_stopping())
			count_refused(text, now());
	}
	if (!status) {
		restart_is_owed = restart_timer.armed;
		loop_cancel(&restart_timer);
		if (client)
			control_attach(
			        client, VERB_UPGRADE, options.wait, attached_level(&options));
		int result = upgrade_begin(UPGRADE_REQUESTED, &options.settings);
		if (result < 0) {
			snprintf(text, sizeof(text), "the next generation could not be started: %s",
			        strerror(-result));
			log_error("%s", text);
			count_refused(text, now());
			control_finish(VERB_UPGRADE, options.wait, EXIT_FAILED);
			if (!instance.current)
				schedule_restart();
		}
	} else if (client)
		control_reply(client, status, text);
	else
		log_error("%s", text);
	options_deinit(&options);
}

/* ---- requests and signals ---- */

static void reply_text(struct control_client *client, char *text)
{
	if (text)
		control_text(client, text, strlen(text));
	control_reply(client, text ? EXIT_DONE : EXIT_FAILED, text ? NULL : "moult: out of memory");
	free(text);
}

/* At most so long the status waits for counts; then it shows the previous numbers. */
static const nanoseconds STATUS_PATIENCE = 2 * SECOND;
static bool status_to_log;

static void log_status(void)
{
	char *text = status_text(&instance), *rest = text, *line;
	while (rest && (line = strsep(&rest, "\n")))
		if (*line)
			log_notice("%s", line + strspn(line, " "));
	free(text);
}

static void finish_status(void *context)
{
	(void)context;
	bool to_log = status_to_log;
	loop_cancel(&status_timer);
	status_to_log = false;
	if (to_log)
		log_status();
	for (int json = 0; json <= 1; json++) {
		if (!control_has_kept(VERB_STATUS, json))
			continue;
		char *text = json ? status_json(&instance) : status_text(&instance);
		control_finish_text(VERB_STATUS, json, text);
		free(text);
	}
}

/* Answers as soon as no count is running. */
static void look_at_status(void)
{
	for (struct generation *g = instance.newest; g; g = g->older)
		if (g->survey.counting.running && !g->survey.counting.overdue)
			return;
	finish_status(NULL);
}

static void begin_status(void)
{
	for (struct generation *g = instance.newest; g; g = g->older)
		(void)survey_begin(g, true); /* on failure the last count is shown */
	if (!status_timer.armed) {
		status_timer.fire = finish_status;
		loop_after(&status_timer, STATUS_PATIENCE);
	}
	look_at_status();
}

static void surveyed(struct generation *generation)
{
	drain_counted(generation);
	if (status_timer.armed)
		look_at_status();
}

static void request_status(struct control_client *client, int count, char **words)
{
	struct options options;
	char text[300];
	options_default(&options);
	if (options_parse(&options, VERB_STATUS, count, words, text, sizeof(text)) < 0)
		control_reply(client, EXIT_USAGE, text);
	else {
		control_keep(client, VERB_STATUS, options.json);
		begin_status();
	}
	options_deinit(&options);
}

static void request_stop(struct control_client *client, int count, char **words)
{
	struct options options;
	char text[300];
	options_default(&options);
	int result = options_parse(&options, VERB_STOP, count, words, text, sizeof(text));
	bool at_once = options.now;
	options_deinit(&options);
	if (result < 0) {
		control_reply(client, EXIT_USAGE, text);
		return;
	}
	control_attach(client, VERB_STOP, false, LOG_LEVEL_NOTICE);
	if (at_once)
		stop_now();
	else if (!is_stopping())
		stop_with_drain();
}

static void handle_request(void *context, struct control_client *client, int count, char **words)
{
	(void)context;
	const char *verb = count > 0 ? words[0] : "";
	if (!strcmp(verb, "status"))
		request_status(client, count - 1, words + 1);
	else if (!strcmp(verb, "list"))
		reply_text(client, status_line(&instance));
	else if (!strcmp(verb, "upgrade"))
		request_upgrade(client, count - 1, words + 1);
	else if (!strcmp(verb, "stop"))
		request_stop(client, count - 1, words + 1);
	else if (!strcmp(verb, "ping"))
		control_reply(client, EXIT_DONE, NULL);
	else
		control_reply(client, EXIT_USAGE, "moult: the launcher does not know this request");
}

static void signalled(void *context)
{
	(void)context;
	struct signalfd_siginfo info;
	if (read(signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	/*
	 * The launcher was started with this signal ignored (nohup, "&"): ^C is not meant for it.
	 */
	if (info.ssi_code == SI_KERNEL && inherited_ignored((int)info.ssi_signo))
		return;
	switch (info.ssi_signo) {
	case SIGCHLD: reap(); break;
	case SIGHUP: request_upgrade(NULL, 0, (char *[]){NULL}); break;
	case SIGTERM:
		if (!is_stopping())
			stop_with_drain();
		break;
	case SIGINT:
	case SIGQUIT: stop_now(); break;
	case SIGUSR1:
		status_to_log = true;
		begin_status();
		break;
	}
}

/* ---- start ---- */

static int watch_signals(void)
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
	return loop_watch(&signals);
}

/*
 * Logs at once why upgrades of this program will not work.  The program is started all the same and
 * runs as it would without us, unless it cannot be executed at all: then the exit status, else 0.
 */
static int inspect(void)
{
	int result = inspection_run(instance.settings.command, &instance.verdict,
	        instance.verdict_reason, sizeof(instance.verdict_reason));
	if (result < 0) {
		log_error("%s", instance.verdict_reason);
		return result == -ENOENT || result == -ENOTDIR ? EXIT_NOT_FOUND
		                                               : EXIT_CANNOT_EXECUTE;
	}
	if (instance.verdict_reason[0])
		log_error("%s", instance.verdict_reason);
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

static int set_up(const struct options *options)
{
	char reason[400];
	int result = loop_init();
	if (result == 0)
		result = watch_signals();
	if (result == 0)
		result = ledger_open();
	if (result == 0)
		result = channel_start(&instance);
	if (result < 0) {
		log_error("cannot start: %s", strerror(-result));
		return EXIT_FAILED;
	}
	result = control_start(options->name, handle_request, NULL, reason, sizeof(reason));
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

/* For confined children: only the launcher and the keepers may write to a generation's board. */
static void unmap_shared(void)
{
	ledger_unmap();
	for (struct generation *g = instance.newest; g; g = g->older) {
		(void)munmap(g->board, sizeof(*g->board));
		(void)munmap(g->tally, sizeof(*g->tally));
	}
}

/* Before each event: keepers may have opened gates while the launcher was stopped. */
static void look_at_ledger(void)
{
	switch_assert(&instance);
}

/*
 * The launcher leaves no child behind.  The broker has been killed, and helper processes end by
 * themselves.  The wait ends after a second, for a process can hang inside the kernel.
 */
static void await_children(void)
{
	const struct timespec pause = {.tv_nsec = MILLISECOND};
	nanoseconds deadline = after(SECOND);
	while (waitpid(-1, NULL, WNOHANG) >= 0 && now() < deadline)
		nanosleep(&pause, NULL);
}

int supervisor_run(const struct options *options)
{
	inherited_take_timers();
	if (options->background)
		background_begin();
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* processes of a killed keeper become our children */
	if (!proc_is_ours()) {
		log_error("cannot start: /proc is not mounted, or is that of another pid "
		          "namespace; without it the program's processes cannot be found");
		return EXIT_FAILED;
	}
	close_to_own_user();
	confine_register_memory(unmap_shared);
	instance.name = options->name;
	instance.background = options->background;
	instance.surveyed = surveyed;
	instance.since = time(NULL);
	restart_delay = RESTART_FIRST;
	if (settings_copy(&instance.settings, &options->settings) < 0)
		return EXIT_FAILED;
	upgrade_init(&instance, upgrade_over, main_ended);

	int status = inspect();
	if (!status)
		status = set_up(options);
	if (!status) {
		aside_recover(options->name, options->settings.aside);
		int result = upgrade_begin(UPGRADE_START, &instance.settings);
		if (result < 0) {
			log_error("cannot start %s: %s%s", instance.settings.command[0],
			        strerror(-result),
			        result == -EFBIG ? " (the limit on the size of files, ulimit -f, "
			                           "is too low)"
			                         : "");
			status = EXIT_FAILED;
		} else {
			loop_run(look_at_ledger);
			status = exit_status;
		}
	}
	control_finish(VERB_STOP, false, EXIT_DONE);
	control_stop();
	channel_stop();
	await_children();
	if (options->pid_file)
		launcher_pidfile_remove();
	background_done(status);
	fdstore_deinit(&instance.store);
	settings_deinit(&instance.settings);
	return status;
}
