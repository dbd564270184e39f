/* SPDX-License-Identifier: MIT */
/* Listeners that a process says it has closed. */
#include "helper/requests/closing.h"

#include "helper/base/log.h"
#include "helper/requests/publish.h"
#include "helper/state/survey.h"

enum { CLOSINGS = 64, CLOSE_LOOKS = 10 };
static const nanoseconds CLOSE_PATIENCE = SECOND;
struct closing {
	struct generation *generation; /* NULL: unused */
	uint32_t listener;
	nanoseconds at;
	unsigned looks; /* that found it held, or a descriptor in flight, which may be this one */
};
static struct closing closings[CLOSINGS];
static struct timer closing_timer;

void closing_cancel(const struct generation *generation, int listener)
{
	for (size_t i = 0; i < CLOSINGS; i++)
		if (closings[i].generation == generation &&
		        (listener < 0 || closings[i].listener == (uint32_t)listener))
			closings[i].generation = NULL;
}

bool closing_is_pending(const struct generation *generation, uint32_t listener)
{
	for (size_t i = 0; i < CLOSINGS; i++)
		if (closings[i].generation == generation && closings[i].listener == listener)
			return true;
	return false;
}

/* No process of the generation holds the listener any more. */
static void drop(struct instance *instance, struct generation *generation, uint32_t i)
{
	struct listener *listener = instance_listener(instance, i);
	if (!instance_drop(instance, generation, i))
		return;
	/*
	 * No generation serves.  Clients wait in this queue, and another generation may serve them
	 * if this one fails.
	 */
	if (generation->awaits_turn && listener->born != generation->id)
		return;
	static struct log_limit limit = {.burst = LOG_BURST};
	char name[LISTENER_TEXT];
	listener_print(listener, name, sizeof(name));
	log_limited(&limit, LOG_LEVEL_NOTICE, "generation %u: closed %s", generation->id, name);
	listener_close(listener);
	publish_addresses(instance);
}

static void look_at_closings(void *context)
{
	struct instance *instance = context;
	bool more = false;
	for (size_t i = 0; i < CLOSINGS; i++) {
		struct closing *closing = &closings[i];
		struct generation *generation = closing->generation;
		if (!generation)
			continue;
		if (now() < closing->at) {
			more = true;
			continue;
		}
		closing->generation = NULL;
		/*
		 * The listener stays open in these cases:
		 *   - With --restart=always a daemon may close it because it exits, and its
		 *     successor needs the queue.
		 *   - An old generation has closed it: the queue is its successor's.  A late
		 *     listener is closed all the same, since it was perhaps for one client
		 *     (helper/lifecycle/retire.c); but not with --no-overlap, where clients wait
		 *     there for a generation that has not started yet.
		 */
		if (generation->settings.restart == RESTART_ALWAYS ||
		        (!generation_may_bind(generation) &&
		                (instance->state == INSTANCE_VACATING ||
		                        !instance_listener(instance, closing->listener)->late)) ||
		        !generation->holds[closing->listener])
			continue;
		if (!survey_holds(generation, closing->listener))
			drop(instance, generation, closing->listener);
		else if (++closing->looks < CLOSE_LOOKS) {
			closing->generation = generation;
			closing->at = after(CLOSE_PATIENCE);
			more = true;
		}
	}
	if (more)
		loop_after(&closing_timer, 100 * MILLISECOND);
}

void closing_begin(struct instance *instance, struct generation *generation, uint32_t listener)
{
	/* Only a process that still waits there marks this again: an older generation may not. */
	if (!generation_may_bind(generation))
		atomic_store(&generation->tally->view[listener].waiting, 0);
	for (size_t i = 0; i < CLOSINGS; i++)
		if (!closings[i].generation) {
			closings[i] =
			        (struct closing){generation, listener, after(CLOSE_PATIENCE), 0};
			closing_timer.fire = look_at_closings;
			closing_timer.context = instance;
			if (!closing_timer.armed)
				loop_after(&closing_timer, CLOSE_PATIENCE);
			return;
		}
	/*
	 * Too many at once: the listener stays in the store until an upgrade does not take it up.
	 */
}
