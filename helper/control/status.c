/* SPDX-License-Identifier: MIT */
/* The text of `moult status` and `moult list`. In JSON, fields are added and never changed. */
#include "helper/control/status.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "helper/base/json.h"
#include "helper/base/printable.h"
#include "helper/base/units.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"

static const char *generation_state_name(enum generation_state state)
{
	switch (state) {
	case GENERATION_WARMING: return "next";
	case GENERATION_CURRENT: return "current";
	case GENERATION_STANDBY:
	case GENERATION_DRAINING:
	case GENERATION_VACATING:
	case GENERATION_STOPPING:
	case GENERATION_KILLED:
	case GENERATION_STATES: break;
	}
	return "draining";
}

static const char *time_print(time_t at, char *text, size_t size)
{
	struct tm tm;
	gmtime_r(&at, &tm);
	(void)strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text;
}

/* The age of the numbers of processes and connections. 0: current; NEVER: not counted yet. */
static nanoseconds count_age(const struct generation *g)
{
	if (!survey_is_uncertain(g))
		return 0;
	return g->audited ? now() - g->counted_at : NEVER;
}

static void json_generation(FILE *out, struct generation *g)
{
	char started[32];
	nanoseconds age = count_age(g);
	(void)fprintf(out,
	        "{\"id\":%u,\"pid\":%d,\"state\":\"%s\",\"processes\":%zu,\"connections\":%zu,"
	        "\"connections_about\":%s,\"accepted\":%llu,\"datagrams\":%llu,\"started\":\"%s\","
	        "\"ready_"
	        "ms\":",
	        g->id, g->main, generation_state_name(g->state), g->processes, g->connections,
	        g->survey.is_about ? "true" : "false", (unsigned long long)generation_accepted(g),
	        (unsigned long long)generation_datagrams(g),
	        time_print(g->started_wall, started, sizeof(started)));
	if (g->is_ready)
		(void)fprintf(out, "%lld", (long long)((g->ready - g->started) / MILLISECOND));
	else
		(void)fputs("null", out);
	if (age == NEVER)
		(void)fputs(",\"count_age_ms\":null", out);
	else
		(void)fprintf(out, ",\"count_age_ms\":%lld", (long long)(age / MILLISECOND));
	(void)fputs(",\"command\":[", out);
	for (char **word = g->settings.command; *word; word++) {
		if (word != g->settings.command)
			(void)fputc(',', out);
		json_string(out, *word);
	}
	(void)fputs("]}", out);
}

/* The generation that keeps listener `i` because the next one has not bound it; NULL: none. */
static const struct generation *stays_with(struct instance *instance, uint32_t i)
{
	for (struct generation *g = instance->newest; g; g = g->older)
		if (moves_stays(instance, g, i))
			return g;
	return NULL;
}

/* The generation that accepts on the listener (null: none), and how long an old one keeps it. */
static void json_whereabouts(FILE *out, struct instance *instance, uint32_t i)
{
	const struct generation *acceptor = instance_acceptor(instance, i);
	if (acceptor)
		(void)fprintf(out, ",\"generation\":%u", acceptor->id);
	else
		(void)fputs(",\"generation\":null", out);
	if (stays_with(instance, i) && instance->retire_at != NEVER)
		(void)fprintf(out, ",\"retires_in_ms\":%lld",
		        (long long)((instance->retire_at - now()) / MILLISECOND));
	else
		(void)fputs(",\"retires_in_ms\":null", out);
}

static void json_listener(FILE *out, struct instance *instance, uint32_t i)
{
	const struct listener *listener = instance_listener(instance, i);
	char name[LISTENER_TEXT];
	unsigned queued = 0, backlog = 0;
	listener_print(listener, name, sizeof(name));
	(void)listener_queue(listener, &queued, &backlog); /* zeros if it does not listen */
	(void)fputs("{\"address\":", out);
	json_string(out, name);
	(void)fprintf(out, ",\"backlog\":%u,\"queued\":%u,\"adopted\":%s", backlog, queued,
	        listener->adopted ? "true" : "false");
	json_whereabouts(out, instance, i);
	(void)fputc('}', out);
}

char *status_json(struct instance *instance)
{
	char *text = NULL, since[32];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	(void)fprintf(out,
	        "{\"name\":\"%s\",\"pid\":%d,\"state\":\"%s\",\"since\":\"%s\",\"generations\":[",
	        instance->name, getpid(), instance_state_name(instance->state),
	        time_print(instance->since, since, sizeof(since)));
	for (struct generation *g = instance->newest; g; g = g->older) {
		if (g != instance->newest)
			(void)fputc(',', out);
		json_generation(out, g);
	}
	(void)fputs("],\"listeners\":[", out);
	bool first = true;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		if (instance_listener(instance, i)->state == LISTENER_GONE)
			continue;
		if (!first)
			(void)fputc(',', out);
		first = false;
		json_listener(out, instance, i);
	}
	const struct upgrade_counts *counts = &instance->upgrades;
	(void)fprintf(out,
	        "],\"upgrades\":{\"completed\":%u,\"failed\":%u,\"last\":", counts->completed,
	        counts->failed);
	if (counts->any) {
		(void)fprintf(out, "{\"result\":\"%s\",\"reason\":",
		        counts->last_completed ? "completed" : "failed");
		json_string(out, counts->last_reason);
		(void)fprintf(out, ",\"generation\":%u,\"ms\":%lld}", counts->last_generation,
		        (long long)(counts->last_duration / MILLISECOND));
	} else
		(void)fputs("null", out);
	(void)fputs("}}\n", out);
	return fclose(out) == 0 ? text : NULL;
}

static void text_listener(FILE *out, struct instance *instance, uint32_t i)
{
	const struct listener *listener = instance_listener(instance, i);
	const struct generation *stays = stays_with(instance, i);
	char name[LISTENER_TEXT], time[32];
	unsigned queued = 0, backlog = 0;
	listener_print(listener, name, sizeof(name));
	(void)listener_queue(listener, &queued, &backlog);
	(void)fprintf(out, "  %s: backlog %u, %u queued%s", name, backlog, queued,
	        listener->state == LISTENER_RETIRING ? ", retiring" : "");
	if (stays) {
		duration_print(moves_time_left(instance), time, sizeof(time));
		(void)fprintf(out, ", with generation %u for up to %s", stays->id, time);
	}
	(void)fputc('\n', out);
}

static void text_command(FILE *out, const struct generation *g)
{
	for (char **word = g->settings.command; *word; word++) {
		const char *quote = strpbrk(*word, " \t;'\"") ? "'" : "";
		(void)fprintf(out, " %s", quote);
		printable_write(out, *word);
		(void)fputs(quote, out);
	}
}

static void text_generation(FILE *out, struct generation *g)
{
	char time[32], counted[64] = "";
	nanoseconds age = count_age(g);
	duration_print(age, time, sizeof(time));
	if (age == NEVER)
		(void)snprintf(counted, sizeof(counted), " (not counted yet)");
	else if (age)
		(void)snprintf(counted, sizeof(counted), " (counted %s ago)", time);
	(void)fprintf(out,
	        "  generation %u: %s, pid %d, %zu processes, %s%zu connections%s, %llu accepted",
	        g->id, generation_state_name(g->state), g->main, g->processes, survey_about(g),
	        g->connections, counted, (unsigned long long)generation_accepted(g));
	if (generation_datagrams(g))
		(void)fprintf(out, ", %llu datagrams", (unsigned long long)generation_datagrams(g));
	if (g->is_ready) {
		duration_print(g->ready - g->started, time, sizeof(time));
		(void)fprintf(out, ", ready after %s", time);
	}
	(void)fputc(':', out);
	text_command(out, g);
	(void)fputc('\n', out);
}

char *status_text(struct instance *instance)
{
	char *text = NULL, time[32];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	(void)fprintf(out, "%s: %s, pid %d, since %s\n", instance->name,
	        instance_state_name(instance->state), getpid(),
	        time_print(instance->since, time, sizeof(time)));
	for (struct generation *g = instance->newest; g; g = g->older)
		text_generation(out, g);
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (instance_listener(instance, i)->state != LISTENER_GONE)
			text_listener(out, instance, i);
	const struct upgrade_counts *counts = &instance->upgrades;
	(void)fprintf(
	        out, "  upgrades: %u completed, %u failed", counts->completed, counts->failed);
	if (counts->any) {
		duration_print(counts->last_duration, time, sizeof(time));
		(void)fprintf(out, "; the last, to generation %u, %s after %s",
		        counts->last_generation, counts->last_completed ? "completed" : "failed",
		        time);
		if (!counts->last_completed) {
			(void)fputs(": ", out);
			printable_write(out, counts->last_reason);
		}
	}
	(void)fputc('\n', out);
	if (instance->verdict_reason[0]) {
		(void)fputs("  note: ", out);
		printable_write(out, instance->verdict_reason);
		(void)fputc('\n', out);
	}
	return fclose(out) == 0 ? text : NULL;
}

char *status_line(struct instance *instance)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const struct generation *g = instance->current ? instance->current : instance->newest;
	if (!out)
		return NULL;
	(void)fprintf(out, "%-20s %8d  %-9s %10u ", instance->name, getpid(),
	        instance_state_name(instance->state), g ? g->id : 0);
	if (g)
		text_command(out, g);
	(void)fputc('\n', out);
	return fclose(out) == 0 ? text : NULL;
}
