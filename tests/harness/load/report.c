/* SPDX-License-Identifier: MIT */
/* Prints the report: one line, which is one JSON object. */
#include <stdio.h>
#include <string.h>

#include "tests/harness/load/account.h"
#include "tests/harness/load/base.h"
#include "tests/harness/load/report.h"
#include "tests/harness/load/schedule.h"

static int64_t since_begin(int64_t instant)
{
	return instant - schedule.begun;
}

static void print_text(const char *text)
{
	putchar('"');
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			printf("\\u%04x", (unsigned char)*text);
		else
			putchar(*text);
	putchar('"');
}

static void print_count(const char *name, uint64_t count)
{
	printf(",\"%s\":%llu", name, (unsigned long long)count);
}

static void print_instant(const char *name, int64_t instant)
{
	printf(",\"%s_ns\":%lld,\"%s_ms\":%.3f", name, (long long)instant, name,
	        ms(since_begin(instant)));
}

static void print_account(const struct account *account)
{
	uint64_t lost = 0;
	for (int i = 0; i < LOSSES; i++)
		lost += account->lost[i];
	printf("\"started\":%llu", (unsigned long long)account->started);
	print_count("answered", account->answered);
	print_count("closed", account->closed);
	print_count("in_flight", account->in_flight);
	print_count("lost", lost);
	for (int i = 0; i < LOSSES; i++)
		print_count(loss_names[i], account->lost[i]);
	printf(",\"tags\":[");
	for (int i = 0; i < account->tag_count; i++) {
		const struct tag *tag = &account->tags[i];
		printf("%s{\"tag\":", i ? "," : "");
		print_text(tag->name);
		print_count("answered", tag->answered);
		print_count("connections", tag->connections);
		if (account == &persistent)
			printf(",\"open\":%lld", (long long)tag->open);
		if (tag->answered > 0) {
			print_instant("first_started", tag->first_started);
			print_instant("last_started", tag->last_started);
			print_instant("first_answered", tag->first_answered);
			print_instant("last_answered", tag->last_answered);
		}
		putchar('}');
	}
	putchar(']');
}

static void print_failures(void)
{
	printf(",\"failures\":[");
	for (size_t i = 0; i < failures.count; i++) {
		const struct failure *f = &failures.entries[i];
		printf("%s{\"loss\":\"%s\",\"phase\":\"%s\",\"persistent\":%s,\"error\":",
		        i ? "," : "", loss_names[f->loss], f->phase,
		        f->persistent ? "true" : "false");
		print_text(f->error ? strerror(f->error) : "");
		print_instant("started", f->started);
		printf(",\"after_ms\":%.3f,\"tag\":", ms(f->at - f->started));
		print_text(f->tag);
		printf(",\"received\":");
		print_text(f->excerpt);
		putchar('}');
	}
	putchar(']');
}

void report(const char *kind)
{
	int64_t at = now();
	latencies_sort();
	printf("{\"kind\":\"%s\",\"begun_ns\":%lld,\"now_ns\":%lld,\"elapsed_ms\":%.3f,", kind,
	        (long long)schedule.begun, (long long)at, ms(since_begin(at)));
	print_account(&ordinary);
	printf(",\"latency_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"lag_max_ms\":%.3f",
	        latency_at(0.5), latency_at(0.99), latency_at(1), ms(schedule.lag_max));
	printf(",\"persistent\":{");
	print_account(&persistent);
	putchar('}');
	print_failures();
	puts("}");
	fflush(stdout);
}
