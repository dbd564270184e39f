/* SPDX-License-Identifier: MIT */
/* The command line of the load client. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/load/base.h"
#include "tests/harness/load/options.h"

#define TEXT(literal)                        \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

struct options options = {
        .rate = 600,
        .until = TEXT("\n"),
        .tag_after = TEXT("GEN "),
        .tag_before = TEXT(" "),
        .persistent_every = 100,
        .timeout = 5000,
        .in_flight = 4096,
        .sources = 64,
};

static _Noreturn void usage(const char *complaint)
{
	fprintf(stderr, "load: %s\n", complaint);
	exit(2);
}

/* The byte that two digits stand for, or -1. */
static int hexadecimal(const char *digits)
{
	unsigned value;
	if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]) ||
	        sscanf(digits, "%2x", &value) != 1)
		return -1;
	return (int)value;
}

/* A copy with each escape replaced by its byte: \n, \r, \t, \xNN, and \ before any other. */
static struct text unescape(const char *text)
{
	char *copy = strdup(text), *out = copy;
	if (!copy)
		fail("strdup");
	for (const char *in = text; *in; in++) {
		if (*in != '\\' || !in[1]) {
			*out++ = *in;
			continue;
		}
		in++;
		int value = *in == 'x' ? hexadecimal(in + 1) : -1;
		if (value >= 0) {
			*out++ = (char)value;
			in += 2;
			continue;
		}
		*out++ = (char)(*in == 'n' ? '\n' : *in == 'r' ? '\r' : *in == 't' ? '\t' : *in);
	}
	return (struct text){copy, (size_t)(out - copy)};
}

static long number(const char *text, const char *name, long least, long most)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		fprintf(stderr, "load: --%s=%s: not a number from %ld to %ld\n", name, text, least,
		        most);
		exit(2);
	}
	return value;
}

static void address_add(const char *text)
{
	if (options.addresses == ADDRESSES_MAX)
		usage("--address: too many");
	const char *complaint = address_parse(text, &options.address[options.addresses++]);
	if (complaint)
		usage(complaint);
}

/* A datagram has no connection to keep, and its answer has one fixed form. */
static void datagrams_check(void)
{
	for (size_t i = 0; i < options.addresses; i++)
		if (options.address[i].type == SOCK_DGRAM &&
		        (options.persistent > 0 || options.mode != MODE_REQUEST))
			usage("--persistent and --mode: not with datagrams");
}

static enum mode mode_parse(const char *text)
{
	if (strcmp(text, "request") == 0)
		return MODE_REQUEST;
	if (strcmp(text, "banner") == 0)
		return MODE_BANNER;
	if (strcmp(text, "http") == 0)
		return MODE_HTTP;
	usage("--mode: not request, banner or http");
}

static const char help[] =
        "load --address=ADDRESS [OPTIONS]    (--address may be given several times)\n"
        "  HOST:PORT, unix:/PATH, unix:@NAME, seqpacket:/PATH, udp:HOST:PORT, dgram:/PATH\n"
        "  --rate=N               connections started a second (600; 0: none)\n"
        "  --duration=SECONDS     0: until SIGTERM or SIGINT (0)\n"
        "  --mode=request|banner|http\n"
        "  --send=TEXT            the request (hello\\n, or a GET); \\xNN is any byte\n"
        "  --until=TEXT           ends an answer (\\n; http knows its length)\n"
        "  --expect-prefix=TEXT   begins a right answer\n"
        "  --tag-after=TEXT --tag-before=TEXT   enclose who answered (GEN , space)\n"
        "  --farewell=TEXT        sent after the answer; what comes then is ignored\n"
        "  --persistent=N         connections that stay (0); SIGUSR1 renews them\n"
        "  --persistent-every=MS  between their requests (100)\n"
        "  --persistent-send=TEXT their request (as --send; empty: they are only held)\n"
        "  --timeout=MS           (5000)\n"
        "  --in-flight=N          more at once are not started (4096)\n"
        "  --sources=N            source addresses used on 127.0.0.0/8 (64; 0: one)\n"
        "  --control              commands on stdin: renew, close, report, stop\n"
        "  --progress             a JSON line every second\n"
        "A JSON object on stdout says at the end what the clients saw.\n";

void options_parse(int argc, char **argv)
{
	static const struct option known[] = {{"address", 1, NULL, 'a'}, {"rate", 1, NULL, 'r'},
	        {"duration", 1, NULL, 'd'}, {"mode", 1, NULL, 'm'}, {"send", 1, NULL, 's'},
	        {"until", 1, NULL, 'u'}, {"expect-prefix", 1, NULL, 'e'},
	        {"tag-after", 1, NULL, 'A'}, {"tag-before", 1, NULL, 'B'},
	        {"farewell", 1, NULL, 'f'}, {"persistent", 1, NULL, 'p'},
	        {"persistent-every", 1, NULL, 'E'}, {"persistent-send", 1, NULL, 'S'},
	        {"timeout", 1, NULL, 't'}, {"in-flight", 1, NULL, 'i'}, {"sources", 1, NULL, 'n'},
	        {"control", 0, NULL, 'c'}, {"json", 0, NULL, 'j'}, {"progress", 0, NULL, 'P'},
	        {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	static const struct text nothing = TEXT(""), hello = TEXT("hello\n"),
	                         http = TEXT("GET / HTTP/1.1\r\nHost: localhost\r\n"
	                                     "Connection: close\r\n\r\n"),
	                         http_persistent =
	                                 TEXT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	char *end;
	int o;
	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (o) {
		case 'a': address_add(optarg); break;
		case 'r': options.rate = number(optarg, "rate", 0, 1000000); break;
		case 'd':
			options.duration = strtod(optarg, &end);
			if (end == optarg || *end || !(options.duration >= 0))
				usage("--duration: not a number of seconds");
			break;
		case 'm': options.mode = mode_parse(optarg); break;
		case 's': options.send = unescape(optarg); break;
		case 'u': options.until = unescape(optarg); break;
		case 'e': options.expect_prefix = unescape(optarg); break;
		case 'A': options.tag_after = unescape(optarg); break;
		case 'B': options.tag_before = unescape(optarg); break;
		case 'f': options.farewell = unescape(optarg); break;
		case 'p': options.persistent = number(optarg, "persistent", 0, 10000); break;
		case 'E':
			options.persistent_every = number(optarg, "persistent-every", 1, 3600000);
			break;
		case 'S': options.persistent_send = unescape(optarg); break;
		case 't': options.timeout = number(optarg, "timeout", 1, 3600000); break;
		case 'i': options.in_flight = number(optarg, "in-flight", 1, 100000); break;
		case 'n': options.sources = number(optarg, "sources", 0, 250); break;
		case 'c': options.control = true; break;
		case 'j': break; /* JSON is the only format */
		case 'P': options.progress = true; break;
		case 'h': fputs(help, stdout); exit(0);
		default: exit(2);
		}
	if (optind < argc)
		usage("nothing may follow the options");
	if (options.addresses == 0)
		usage("--address is missing");
	datagrams_check();
	if (!options.send.bytes)
		options.send = options.mode == MODE_HTTP ? http : hello;
	if (!options.persistent_send.bytes)
		options.persistent_send = options.mode == MODE_HTTP     ? http_persistent
		                          : options.mode == MODE_BANNER ? nothing
		                                                        : options.send;
}
