/* SPDX-License-Identifier: MIT */
/*
 * The load client: opens connections on a fixed schedule, whatever becomes of the earlier ones, and
 * counts what each client would have seen.
 *
 * Open loop on purpose: a client that waits for one answer before it asks again slows down together
 * with the server, and so is not there in the moment in which the server is down.
 *
 * An answer names who gave it (its tag: the text between two markers), and is accounted to the
 * instant at which its connection was started.  So a test can say "whatever was started after the
 * switch was answered by the new generation" without asking how long an answer may take.
 *
 * A datagram is a connection of one question: its socket carries a number, asks once, and is kept
 * open for a while after the answer, to see whether somebody else answers too.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/load_address.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MILLISECOND  INT64_C(1000000)
#define SECOND       INT64_C(1000000000)

enum {
	ADDRESSES_MAX = 1024,
	ANSWER_MAX = 16384,
	TAGS_MAX = 64,
	TAG_LENGTH = 96,
	FAILURES_MAX = 256,
	FAILURES_OF_A_KIND = 32, /* the many must not hide the few */
	BATCH = 256,
	TICK_MS = 10,
	DUPLICATE_MS = 300, /* a datagram's second answer is waited for */
};

/* Bytes: binary protocols have zeros in them. */
struct text {
	const char *bytes; /* NULL: none */
	size_t length;
};
#define TEXT(literal)                        \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

enum mode { MODE_REQUEST, MODE_BANNER, MODE_HTTP };

/* What can become of a connection, apart from an answer. */
enum loss {
	LOSS_REFUSED,   /* ECONNREFUSED, also of a datagram; ENOENT: no such path */
	LOSS_RESET,     /* ECONNRESET or EPIPE at any time before the orderly end */
	LOSS_CUT,       /* the server's end of file before the complete answer */
	LOSS_TIMED_OUT, /* no answer, or no orderly end after it */
	LOSS_WRONG,     /* another answer than the expected one */
	LOSS_DUPLICATE, /* a second answer to one datagram */
	LOSS_ERROR,     /* any other error */
	LOSS_OVERFLOW,  /* not started: too many in flight */
	LOSSES,
};

static const char *const loss_names[LOSSES] = {
        "refused", "reset", "cut", "timed_out", "wrong", "duplicate", "error", "overflow"};

enum phase {
	PHASE_QUEUEING, /* the queue of a UNIX socket is full: tried again, as a blocking call would */
	PHASE_CONNECTING,
	PHASE_ANSWER,
	PHASE_IDLE,
	PHASE_CLOSING, /* a datagram: answered, and there must not be another answer */
};

static const char *const phase_names[] = {"queueing", "connecting", "answer", "idle", "closing"};

struct connection {
	struct connection *previous, *next; /* in `live`, by start; `next` also in `unused` */
	int fd;                             /* closed by connection_end() */
	const struct address *address;
	uint64_t number;
	bool persistent;
	bool retiring; /* persistent: close after the answer that is due */
	enum phase phase;
	unsigned answers;
	int tag; /* index into the table, -1: not known yet */
	int64_t started;
	int64_t deadline;
	int64_t next_request;
	const struct text *request; /* what is being sent, NULL: nothing */
	size_t sent;
	size_t received;
	char answer[ANSWER_MAX];
};

struct tag {
	char name[TAG_LENGTH];
	uint64_t answered;
	uint64_t connections;
	int64_t open;
	int64_t first_started, last_started;
	int64_t first_answered, last_answered;
};

/* One for ordinary connections, one for persistent ones. */
struct account {
	uint64_t started;
	uint64_t answered;
	uint64_t closed; /* in good order, by us first or by a server that had answered */
	uint64_t lost[LOSSES];
	uint64_t in_flight;
	struct tag tags[TAGS_MAX];
	int tag_count;
};

struct failure {
	enum loss loss;
	enum phase phase;
	bool persistent;
	int error;
	int64_t started, at;
	char tag[TAG_LENGTH];
	char excerpt[48];
};

static struct {
	struct address address[ADDRESSES_MAX];
	size_t addresses;
	enum mode mode;
	long rate;
	double duration;
	struct text send;
	struct text until;
	struct text expect_prefix;
	struct text tag_after;
	struct text tag_before;
	struct text farewell;
	long persistent;
	long persistent_every;
	struct text persistent_send;
	long timeout;
	long in_flight;
	long sources;
	bool progress;
	bool control;
} options = {
        .rate = 600,
        .until = TEXT("\n"),
        .tag_after = TEXT("GEN "),
        .tag_before = TEXT(" "),
        .persistent_every = 100,
        .timeout = 5000,
        .in_flight = 4096,
        .sources = 64,
};

static struct account ordinary, persistent;
static struct failure failures[FAILURES_MAX];
static size_t failure_count;
static struct connection *pool; /* all there can be */
static struct connection *unused;
static struct connection live; /* head of the ring of open connections */
static uint32_t *latencies;    /* microseconds */
static size_t latency_count, latency_room;
static int64_t begun, lag_max;
static int epoll_fd, schedule_fd;
static bool stopping;

/* What epoll reports beside connections. */
static char on_schedule, on_tick, on_signal, on_command;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void usage(const char *complaint)
{
	fprintf(stderr, "load: %s\n", complaint);
	exit(2);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static double ms(int64_t nanoseconds)
{
	return (double)nanoseconds / (double)MILLISECOND;
}

static int64_t since_begin(int64_t instant)
{
	return instant - begun;
}

/* ---- the account ---- */

static struct account *account_of(const struct connection *c)
{
	return c->persistent ? &persistent : &ordinary;
}

/* The index of that tag, added if new; the last entry takes what finds no room. */
static int tag_find(struct account *account, const char *name)
{
	for (int i = 0; i < account->tag_count; i++)
		if (strcmp(account->tags[i].name, name) == 0)
			return i;
	if (account->tag_count == TAGS_MAX)
		return TAGS_MAX - 1;
	struct tag *tag = &account->tags[account->tag_count];
	snprintf(tag->name, sizeof(tag->name), "%s", name);
	tag->first_started = tag->first_answered = INT64_MAX;
	return account->tag_count++;
}

static void tag_answered(struct tag *tag, int64_t started, int64_t at)
{
	tag->answered++;
	if (started < tag->first_started)
		tag->first_started = started;
	if (started > tag->last_started)
		tag->last_started = started;
	if (at < tag->first_answered)
		tag->first_answered = at;
	tag->last_answered = at;
}

static void latency_record(int64_t latency)
{
	if (latency_count == latency_room) {
		size_t room = latency_room ? 2 * latency_room : 16384;
		uint32_t *grown = realloc(latencies, room * sizeof(*grown));
		if (!grown)
			return; /* the percentiles are of the first ones then */
		latencies = grown;
		latency_room = room;
	}
	latencies[latency_count++] = (uint32_t)(latency / 1000);
}

static void loss_record(const struct connection *c, enum loss loss, int error)
{
	uint64_t of_a_kind = ++account_of(c)->lost[loss];
	if (failure_count == FAILURES_MAX || of_a_kind > FAILURES_OF_A_KIND)
		return;
	struct failure *f = &failures[failure_count++];
	*f = (struct failure){.loss = loss,
	        .phase = c->phase,
	        .persistent = c->persistent,
	        .error = error,
	        .started = c->started,
	        .at = now()};
	if (c->tag >= 0)
		memcpy(f->tag, account_of(c)->tags[c->tag].name, sizeof(f->tag));
	size_t length = c->received < sizeof(f->excerpt) ? c->received : sizeof(f->excerpt) - 1;
	memcpy(f->excerpt, c->answer, length);
}

/* ---- one connection ---- */

static bool is_datagram(const struct connection *c)
{
	return c->address->type == SOCK_DGRAM;
}

static void connection_end(struct connection *c)
{
	struct account *account = account_of(c);
	if (c->fd >= 0)
		close(c->fd);
	if (c->persistent && c->tag >= 0)
		account->tags[c->tag].open--;
	account->in_flight--;
	c->previous->next = c->next;
	c->next->previous = c->previous;
	c->next = unused;
	unused = c;
}

static void connection_lose(struct connection *c, enum loss loss, int error)
{
	loss_record(c, loss, error);
	connection_end(c);
}

static void connection_fail(struct connection *c, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED: connection_lose(c, LOSS_REFUSED, error); return;
	case ECONNRESET:
	case EPIPE: connection_lose(c, LOSS_RESET, error); return;
	case ETIMEDOUT: connection_lose(c, LOSS_TIMED_OUT, error); return;
	default: connection_lose(c, LOSS_ERROR, error); return;
	}
}

/* Says that nothing more will come and waits for the server's end of file. */
static void connection_close(struct connection *c)
{
	c->phase = PHASE_CLOSING;
	c->deadline = now() + options.timeout * MILLISECOND;
	if (options.farewell.bytes) /* lost with a server that is already gone, which is no loss */
		(void)send(c->fd, options.farewell.bytes, options.farewell.length, MSG_NOSIGNAL);
	(void)shutdown(c->fd, SHUT_WR); /* ENOTCONN: the read that follows tells */
}

/* Sends what is left of the request. False: the connection is gone. */
static bool connection_send(struct connection *c)
{
	size_t length = c->request->length;
	while (c->sent < length) {
		ssize_t n =
		        send(c->fd, c->request->bytes + c->sent, length - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			connection_fail(c, errno);
			return false;
		}
		c->sent += (size_t)n;
	}
	c->request = NULL;
	return true;
}

static bool connection_ask(struct connection *c, const struct text *request)
{
	c->phase = PHASE_ANSWER;
	c->deadline = now() + options.timeout * MILLISECOND;
	c->request = request;
	c->sent = 0;
	return !request || connection_send(c);
}

/* NULL: it is the server's turn. */
static const struct text *first_request(const struct connection *c)
{
	if (options.mode == MODE_BANNER)
		return NULL;
	return c->persistent && options.persistent_send.length ? &options.persistent_send
	                                                       : &options.send;
}

/* The length of an HTTP answer, 0 if it is not complete, -1 if it is no HTTP. */
static ssize_t http_length(const struct connection *c, bool ended)
{
	static const char length_field[] = "\r\ncontent-length:";
	const char *end = memmem(c->answer, c->received, "\r\n\r\n", 4);
	if (!end)
		return 0;
	if (c->received < 12 || strncmp(c->answer, "HTTP/1.", 7) != 0)
		return -1;
	size_t head = (size_t)(end - c->answer) + 4;
	for (const char *at = c->answer; at < end; at++)
		if (strncasecmp(at, length_field, strlen(length_field)) == 0) {
			size_t all = head + strtoul(at + strlen(length_field), NULL, 10);
			return c->received >= all ? (ssize_t)all : 0;
		}
	return ended ? (ssize_t)c->received : 0;
}

static const char *find(const char *from, const char *end, const struct text *text)
{
	return memmem(from, (size_t)(end - from), text->bytes, text->length);
}

/* As http_length, for every mode. */
static ssize_t answer_length(const struct connection *c, bool ended)
{
	if (options.mode == MODE_HTTP)
		return http_length(c, ended);
	const char *found = find(c->answer, c->answer + c->received, &options.until);
	return found ? found - c->answer + (ssize_t)options.until.length : 0;
}

/* Finds the tag in a complete answer. False: there is none. */
static bool answer_tag(const struct connection *c, char name[TAG_LENGTH])
{
	const char *end = c->answer + c->received;
	const char *after = find(c->answer, end, &options.tag_after);
	if (!after)
		return false;
	after += options.tag_after.length;
	const char *before = find(after, end, &options.tag_before);
	if (!before || before == after || before - after >= TAG_LENGTH)
		return false;
	memcpy(name, after, (size_t)(before - after));
	name[before - after] = '\0';
	return true;
}

/* Is the complete answer the right one, and from whom? Later answers come from the same one. */
static bool answer_check(struct connection *c)
{
	char name[TAG_LENGTH];
	if (options.mode == MODE_BANNER && c->answers > 0)
		return true; /* only the banner is tagged */
	const struct text *prefix = &options.expect_prefix;
	if (prefix->bytes && (c->received < prefix->length ||
	                             memcmp(c->answer, prefix->bytes, prefix->length) != 0))
		return false;
	if (!answer_tag(c, name))
		return false;
	struct account *account = account_of(c);
	if (c->tag >= 0)
		return strcmp(account->tags[c->tag].name, name) == 0;
	c->tag = tag_find(account, name);
	account->tags[c->tag].connections++;
	account->tags[c->tag].open++;
	return true;
}

/* A complete answer of that length has come. False: the connection is gone. */
static bool connection_answered(struct connection *c, size_t length)
{
	struct account *account = account_of(c);
	int64_t at = now();
	if (!answer_check(c) || (length < c->received && !options.farewell.bytes)) {
		connection_lose(c, LOSS_WRONG, 0);
		return false;
	}
	account->answered++;
	c->answers++;
	tag_answered(&account->tags[c->tag], c->started, at);
	c->received = 0;
	if (c->persistent && !c->retiring) {
		c->phase = PHASE_IDLE;
		c->deadline = INT64_MAX;
		c->next_request = at + options.persistent_every * MILLISECOND;
		return true;
	}
	if (!c->persistent)
		latency_record(at - c->started);
	connection_close(c);
	return true;
}

/* Bytes or the end have come. False: the connection is gone. */
static bool connection_received(struct connection *c, bool ended)
{
	if (c->phase == PHASE_CLOSING) {
		if (!ended) {
			c->received = 0;
			if (options.farewell.bytes) /* the answer to it */
				return true;
			connection_lose(c, LOSS_WRONG, 0);
			return false;
		}
		account_of(c)->closed++;
		connection_end(c);
		return false;
	}
	if (c->phase == PHASE_IDLE && !ended) {
		connection_lose(c, LOSS_WRONG, 0);
		return false;
	}
	c->answer[c->received] = '\0';
	ssize_t length = c->phase == PHASE_ANSWER ? answer_length(c, ended) : 0;
	if (length < 0 || (!ended && length == 0 && c->received == sizeof(c->answer) - 1)) {
		connection_lose(c, LOSS_WRONG, 0);
		return false;
	}
	if (length > 0 && !connection_answered(c, (size_t)length))
		return false;
	if (ended && length == 0) {
		connection_lose(c, LOSS_CUT, 0);
		return false;
	}
	return !ended || connection_received(c, true);
}

/* ---- one datagram ---- */

/* "hello NUMBER OWN-ADDRESS": some ways to receive do not tell a server who has asked. */
static int datagram_ask(struct connection *c)
{
	char own[ADDRESS_TEXT], text[ADDRESS_TEXT + 64];
	if (!address_own(c->fd, own))
		return -errno;
	int length =
	        snprintf(text, sizeof(text), "hello %llu %s\n", (unsigned long long)c->number, own);
	bool is_unix = c->address->name.ss_family == AF_UNIX;
	ssize_t n =
	        is_unix ? sendto(c->fd, text, (size_t)length, MSG_NOSIGNAL,
	                          (const struct sockaddr *)&c->address->name, c->address->length)
	                : send(c->fd, text, (size_t)length, MSG_NOSIGNAL);
	c->phase = n < 0 ? PHASE_QUEUEING : PHASE_ANSWER;
	return n < 0 ? -errno : 0;
}

/* Is it "GEN <tag> <pid> NUMBER", with our number, and the first one from somebody we can name? */
static bool datagram_check(struct connection *c)
{
	unsigned long long number;
	int pid, end = -1;
	c->answer[c->received] = '\0';
	if (sscanf(c->answer, "GEN %*s %d %llu%n", &pid, &number, &end) != 2 ||
	        number != c->number || strcmp(c->answer + end, "\n") != 0)
		return false;
	return c->phase == PHASE_CLOSING || answer_check(c);
}

static void datagram_step(struct connection *c)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->answer, sizeof(c->answer) - 1, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			connection_fail(c, errno);
			return;
		}
		c->received = (size_t)n;
		if (!datagram_check(c)) {
			connection_lose(c, LOSS_WRONG, 0);
			return;
		}
		if (c->phase == PHASE_CLOSING) {
			connection_lose(c, LOSS_DUPLICATE, 0);
			return;
		}
		int64_t at = now();
		ordinary.answered++;
		tag_answered(&ordinary.tags[c->tag], c->started, at);
		latency_record(at - c->started);
		c->phase = PHASE_CLOSING;
		c->deadline = at + DUPLICATE_MS * MILLISECOND;
	}
}

/* Nobody else has answered. */
static void datagram_end(struct connection *c)
{
	ordinary.closed++;
	connection_end(c);
}

/* ---- what the kernel says of either ---- */

/* Everything that can be done now; edge-triggered, so until EAGAIN. */
static void connection_step(struct connection *c, uint32_t events)
{
	if (is_datagram(c)) {
		datagram_step(c);
		return;
	}
	if (c->phase == PHASE_CONNECTING) {
		int error = 0;
		socklen_t length = sizeof(error);
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
			error = errno;
		if (error) {
			connection_fail(c, error);
			return;
		}
		if (!connection_ask(c, first_request(c)))
			return;
	} else if (c->request && !connection_send(c)) {
		return;
	}
	for (;;) {
		ssize_t n = recv(
		        c->fd, c->answer + c->received, sizeof(c->answer) - 1 - c->received, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			connection_fail(c, errno);
			return;
		}
		c->received += (size_t)n;
		if (!connection_received(c, n == 0))
			return;
	}
}

/* ---- the start of either ---- */

/* Spreads the client's ends over 127.0.0.2 and up: one address has only 28 000 ports. */
static void bind_source(int fd, uint64_t number)
{
	int one = 1;
	struct sockaddr_in source = {.sin_family = AF_INET};
	source.sin_addr.s_addr =
	        htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number % (uint64_t)options.sources));
	/* Where either fails the kernel chooses, as without us. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	(void)bind(fd, (struct sockaddr *)&source, sizeof(source));
}

static bool is_loopback4(const struct address *address)
{
	struct sockaddr_in in;
	memcpy(&in, &address->name, sizeof(in));
	return in.sin_family == AF_INET && ntohl(in.sin_addr.s_addr) >> 24 == 127;
}

/* 0, or -errno; without a path of its own a UNIX datagram could not be answered. */
static int connection_connect(struct connection *c)
{
	const struct sockaddr *name = (const struct sockaddr *)&c->address->name;
	sa_family_t family = AF_UNIX;
	if (is_datagram(c) && name->sa_family == AF_UNIX) /* it has sent nothing: needs no peer */
		return c->phase == PHASE_QUEUEING ||
		                       bind(c->fd, (struct sockaddr *)&family, sizeof(family)) == 0
		               ? datagram_ask(c)
		               : -errno;
	if (connect(c->fd, name, c->address->length) < 0 && errno != EINPROGRESS)
		return -errno;
	c->phase = PHASE_CONNECTING;
	return is_datagram(c) ? datagram_ask(c) : 0;
}

/* Now, or when there is room in the queue. */
static void connection_try(struct connection *c)
{
	int error = connection_connect(c);
	if (error == -EAGAIN && c->address->name.ss_family == AF_UNIX) {
		c->phase = PHASE_QUEUEING;
		return;
	}
	if (error) {
		connection_fail(c, -error);
		return;
	}
	struct epoll_event event = {
	        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		connection_fail(c, errno);
}

static void connection_start(bool is_persistent)
{
	struct account *account = is_persistent ? &persistent : &ordinary;
	struct connection *c = unused;
	uint64_t number = account->started++;
	if (!c || account->in_flight >= (uint64_t)options.in_flight) {
		account->lost[LOSS_OVERFLOW]++;
		return;
	}
	unused = c->next;
	c->address = &options.address[number % options.addresses];
	c->number = number;
	c->persistent = is_persistent;
	c->retiring = false;
	c->phase = PHASE_CONNECTING;
	c->answers = 0;
	c->tag = -1;
	c->received = 0;
	c->request = NULL;
	c->previous = live.previous;
	c->next = &live;
	live.previous->next = c;
	live.previous = c;
	account->in_flight++;

	c->fd = socket(
	        c->address->name.ss_family, c->address->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->started = now();
	c->deadline = c->started + options.timeout * MILLISECOND;
	if (c->fd < 0) {
		connection_fail(c, errno);
		return;
	}
	if (options.sources > 0 && is_loopback4(c->address))
		bind_source(c->fd, number);
	c->started = now();
	connection_try(c);
}

/* ---- all connections ---- */

static void persistent_open(void)
{
	for (long i = 0; i < options.persistent; i++)
		connection_start(true);
}

/* Ends the persistent connections, each after the answer it waits for. */
static void persistent_close(void)
{
	for (struct connection *c = live.next, *next; c != &live; c = next) {
		next = c->next;
		if (!c->persistent || c->phase == PHASE_CLOSING)
			continue;
		c->retiring = true;
		if (c->phase == PHASE_IDLE)
			connection_close(c);
	}
}

/* Deadlines, and the requests that are due on persistent connections. */
static void tick(void)
{
	int64_t at = now();
	for (struct connection *c = live.next, *next; c != &live; c = next) {
		next = c->next;
		if (at >= c->deadline && is_datagram(c) && c->phase == PHASE_CLOSING)
			datagram_end(c);
		else if (at >= c->deadline)
			connection_lose(c, LOSS_TIMED_OUT, 0);
		else if (c->phase == PHASE_QUEUEING)
			connection_try(c);
		else if (c->phase == PHASE_IDLE && at >= c->next_request &&
		         options.persistent_send.length)
			(void)connection_ask(c, &options.persistent_send);
	}
}

static void timer_arm(int fd, int64_t interval)
{
	struct itimerspec t = {.it_interval = {interval / SECOND, interval % SECOND}};
	t.it_value = t.it_interval;
	if (timerfd_settime(fd, 0, &t, NULL) < 0)
		fail("timerfd_settime");
}

static void stop(void)
{
	if (stopping)
		return;
	stopping = true;
	timer_arm(schedule_fd, 0);
	persistent_close();
}

/* As many as were due since the last time: a late client must not become a slower one. */
static void start_due(void)
{
	static int64_t due;
	uint64_t count;
	if (read(schedule_fd, &count, sizeof(count)) != sizeof(count) || stopping)
		return;
	int64_t interval = SECOND / options.rate;
	int64_t lag = now() - begun - due - interval;
	due += (int64_t)count * interval;
	if (lag > lag_max)
		lag_max = lag;
	while (count-- > 0)
		connection_start(false);
}

/* ---- the report ---- */

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
	for (size_t i = 0; i < failure_count; i++) {
		const struct failure *f = &failures[i];
		printf("%s{\"loss\":\"%s\",\"phase\":\"%s\",\"persistent\":%s,\"error\":",
		        i ? "," : "", loss_names[f->loss], phase_names[f->phase],
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

static int latency_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double latency_at(double share)
{
	if (latency_count == 0)
		return 0;
	return latencies[(size_t)((double)(latency_count - 1) * share)] / 1000.0;
}

/* One line, one JSON object. */
static void report(const char *kind)
{
	int64_t at = now();
	qsort(latencies, latency_count, sizeof(*latencies), latency_compare);
	printf("{\"kind\":\"%s\",\"begun_ns\":%lld,\"now_ns\":%lld,\"elapsed_ms\":%.3f,", kind,
	        (long long)begun, (long long)at, ms(since_begin(at)));
	print_account(&ordinary);
	printf(",\"latency_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"lag_max_ms\":%.3f",
	        latency_at(0.5), latency_at(0.99), latency_at(1), ms(lag_max));
	printf(",\"persistent\":{");
	print_account(&persistent);
	putchar('}');
	print_failures();
	puts("}");
	fflush(stdout);
}

/* ---- commands ---- */

static void renew(void)
{
	persistent_close();
	if (!stopping)
		persistent_open();
}

static void take_signal(int fd)
{
	struct signalfd_siginfo info;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		renew();
	else
		stop();
}

/* With --control: `renew`, `close`, `report`, `stop`, one a line. The end of the file is `stop`. */
static void take_commands(void)
{
	static char line[64];
	static size_t length;
	char c;
	ssize_t n;
	/* A byte at a time: commands are few, and the loop ends with the last one that is there. */
	while ((n = read(STDIN_FILENO, &c, 1)) == 1) {
		if (c != '\n') {
			if (length < sizeof(line) - 1)
				line[length++] = c;
			continue;
		}
		line[length] = '\0';
		length = 0;
		if (strcmp(line, "renew") == 0)
			renew();
		else if (strcmp(line, "close") == 0)
			persistent_close();
		else if (strcmp(line, "report") == 0)
			report("report");
		else if (strcmp(line, "stop") == 0)
			stop();
		else
			fprintf(stderr, "load: unknown command: %s\n", line);
		return;
	}
	if (n == 0) {
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		stop();
	}
}

/* ---- set-up ---- */

/* The byte that two digits stand for, or -1. */
static int hexadecimal(const char *digits)
{
	unsigned value;
	if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]) ||
	        sscanf(digits, "%2x", &value) != 1)
		return -1;
	return (int)value;
}

/* A copy with the bytes in the place of their escapes: \n, \r, \t, \xNN, and \ before any other. */
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

/* What has no connection cannot keep one, and has an answer of its own. */
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

static void options_parse(int argc, char **argv)
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
		case 'j': break; /* it always is */
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

static void connections_allocate(void)
{
	size_t count = (size_t)(options.in_flight + 2 * options.persistent);
	struct rlimit limit;
	pool = calloc(count, sizeof(*pool));
	if (!pool)
		fail("calloc");
	for (size_t i = 0; i < count; i++) {
		pool[i].next = unused;
		unused = &pool[i];
	}
	live.previous = live.next = &live;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* what is missing shows as an error */
	}
}

static void watch(int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
	if (fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
}

int main(int argc, char **argv)
{
	options_parse(argc, argv);
	connections_allocate();

	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	schedule_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	watch(schedule_fd, &on_schedule);
	watch(tick_fd, &on_tick);
	watch(signal_fd, &on_signal);
	if (options.control)
		watch(STDIN_FILENO, &on_command);

	timer_arm(tick_fd, TICK_MS * MILLISECOND);
	begun = now();
	int64_t second = begun + SECOND;
	if (options.rate > 0)
		timer_arm(schedule_fd, SECOND / options.rate);
	persistent_open();

	while (!stopping || live.next != &live) {
		struct epoll_event events[BATCH];
		int count = epoll_wait(epoll_fd, events, BATCH, -1);
		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		bool schedule_is_due = false, tick_is_due = false;
		/* Connections first: what the rest closes must not be met again in this batch. */
		for (int i = 0; i < count; i++) {
			void *what = events[i].data.ptr;
			if (what == &on_schedule)
				schedule_is_due = true;
			else if (what == &on_tick)
				tick_is_due = true;
			else if (what != &on_signal && what != &on_command)
				connection_step(what, events[i].events);
		}
		for (int i = 0; i < count; i++)
			if (events[i].data.ptr == &on_signal)
				take_signal(signal_fd);
			else if (events[i].data.ptr == &on_command)
				take_commands();
		if (schedule_is_due)
			start_due();
		if (tick_is_due) {
			uint64_t ticks;
			(void)!read(tick_fd, &ticks, sizeof(ticks));
			tick();
			int64_t at = now();
			if (options.duration > 0 &&
			        ms(since_begin(at)) >= options.duration * 1000.0)
				stop();
			if (options.progress && at >= second) {
				second += SECOND;
				report("progress");
			}
		}
	}
	report("result");
	return 0;
}
