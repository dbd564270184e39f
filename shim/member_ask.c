/* SPDX-License-Identifier: MIT */
/* Questions to the launcher. */
#include "shim/member_ask.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "shim/member.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/userns.h"

static uint32_t generation;
static char token[MOULT_TOKEN_DIGITS];
static struct sockaddr_un launcher;
static socklen_t launcher_length;
static struct ucred launcher_is;

/* A decimal number and the colon behind it; *text moves past both. */
static bool number_parse(const char **text, uint32_t *ret_number)
{
	uint64_t number = 0;
	const char *at = *text;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		if ((number = number * 10 + (uint64_t)(*at - '0')) > UINT32_MAX)
			return false;
	if (*at++ != ':')
		return false;
	*text = at;
	*ret_number = (uint32_t)number;
	return true;
}

bool member_find_launcher(const char *text)
{
	uint32_t contract, pid, uid;
	if (!number_parse(&text, &contract) || contract != MOULT_CONTRACT ||
	        !number_parse(&text, &generation))
		return false;
	for (int i = 0; i < MOULT_TOKEN_DIGITS; i++) {
		if (!*text)
			return false;
		token[i] = *text++;
	}
	if (*text++ != ':' || !number_parse(&text, &pid) || !number_parse(&text, &uid))
		return false;
	launcher_is = (struct ucred){.pid = (pid_t)pid, .uid = uid};
	size_t length = 0;
	launcher.sun_family = AF_UNIX;
	while (length < sizeof(launcher.sun_path) - 1 && text[length]) {
		launcher.sun_path[1 + length] = text[length];
		length++;
	}
	launcher_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
	return length > 0 && !text[length];
}

int64_t member_clock(void)
{
	struct timespec t = {0};
	real.clock_gettime(CLOCK_MONOTONIC, &t); /* libc's, without a system call */
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/*
 * Has a question of this generation had no answer within the last minute?  Then the launcher is
 * most likely stopped, and the next questions wait for MEMBER_SHORT only.
 */
static bool is_silent(int64_t now)
{
	enum { MEMORY = 60000 };
	int64_t since = member_tally ? atomic_load(&member_tally->silent_at) : 0;
	return since > 0 && since <= now && now - since < MEMORY;
}

static void note_answer(void)
{
	if (member_tally && atomic_load(&member_tally->silent_at))
		atomic_store(&member_tally->silent_at, 0);
}

/* How long a question may take.  The blocking calls on its channel end at the deadline. */
struct term {
	int64_t deadline;
	int64_t told; /* when the kernel was last given the time that is left, for this channel */
	bool is_cut;  /* shorter than usual: its end says nothing about the launcher */
};

/* A term that begins now, and ends at `latest` at the latest. */
static struct term term_new(int64_t latest)
{
	enum { HARDLY = 100 };
	int64_t now = member_clock();
	int64_t usual = now + (is_silent(now) ? MEMBER_SHORT : MOULT_REPLY_SECONDS * 1000);
	return (struct term){latest < usual ? latest : usual, now, latest < usual - HARDLY};
}

static void note_silence(const struct term *term)
{
	if (member_tally && !term->is_cut)
		atomic_store(&member_tally->silent_at, member_clock());
}

/*
 * Gives the kernel the time that is left, as the time-out of each call on the channel.  Without a
 * time-out an answer might never come, so a failure (a filter that denies setsockopt()) ends the
 * question.
 */
static long limit(long channel, struct term *term)
{
	int64_t now = member_clock(), left = term->deadline - now;
	if (left <= 0)
		return -ETIMEDOUT;
	struct timeval t = {left / 1000, left % 1000 * 1000};
	long result = raw(SYS_setsockopt, channel, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (result >= 0)
		result = raw(SYS_setsockopt, channel, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	term->told = now;
	return result;
}

/*
 * The kernel applies the time-out to each call anew.  If some time has passed since it was given,
 * less is left for the next call.
 */
static long limit_again(long channel, struct term *term)
{
	enum { SLACK = 5 };
	return member_clock() - term->told <= SLACK ? 0 : limit(channel, term);
}

/*
 * Is `peer` the launcher, seen from a user namespace of the daemon's own?  There the launcher's uid
 * is another number, or has none.  If the uid has none, the pid alone decides.
 */
static __attribute__((noinline)) bool is_launcher_from_here(const struct ucred *peer)
{
	uint32_t uid = USERNS_NOBODY;
	int result = userns_uid(launcher_is.uid, &uid);
	return (result == 0 || (result == -ENOENT && peer->pid)) && peer->uid == uid;
}

/*
 * Is the launcher at the other end, or a process that has bound its address after its death?  The
 * kernel says who called listen() (SO_PEERCRED).  In a pid namespace in which the launcher has no
 * number, the pid is 0, and the uid alone decides.
 */
static bool is_launcher(long channel)
{
	struct ucred peer = {.pid = -1};
	socklen_t length = sizeof(peer);
	if (raw(SYS_getsockopt, channel, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
	        (peer.pid && peer.pid != launcher_is.pid))
		return false;
	return peer.uid == launcher_is.uid || is_launcher_from_here(&peer);
}

/*
 * Should the call be made again?  A signal may interrupt any step; a time-out is reported as
 * EAGAIN.
 */
static bool goes_on(long result, long channel, struct term *term)
{
	return result == -EINTR && limit(channel, term) >= 0;
}

/*
 * A connection to the launcher, or -errno.  This and the next functions are not inlined, so that
 * their buffers are not on the stack at the same time: the stack may be small.
 */
static __attribute__((noinline)) long dial(struct term *term)
{
	long channel = raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (channel < 0)
		return channel;
	long result = limit(channel, term);
	while (result >= 0) {
		result = raw(SYS_connect, channel, &launcher, launcher_length);
		if (!goes_on(result, channel, term))
			break;
		result = 0;
	}
	if (result >= 0 && !is_launcher(channel))
		result = -ECONNREFUSED;
	if (result >= 0)
		result = limit_again(channel, term);
	if (result >= 0)
		return channel;
	raw(SYS_close, channel);
	return result == -EAGAIN || result == -EINTR ? -ETIMEDOUT : result;
}

static __attribute__((noinline)) long send_on(
        long channel, struct moult_request *request, int fd, int other, struct term *term)
{
	size_t count = (size_t)(fd >= 0) + (other >= 0);
	struct iovec part = {request, sizeof(*request)};
	alignas(struct cmsghdr) char space[CMSG_SPACE(MOULT_DESCRIPTORS * sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (count) {
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = (void *)space;
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		int *fds = (int *)(void *)CMSG_DATA(header);
		fds[0] = fd >= 0 ? fd : other;
		fds[1] = other; /* not sent if there is only one */
	}
	long result;
	do
		result = raw(SYS_sendmsg, channel, &message, MSG_NOSIGNAL);
	while (goes_on(result, channel, term));
	return result >= 0 ? limit_again(channel, term) : result;
}

/* A connection to the launcher with the request sent, or -errno. */
static long send_request(struct moult_request *request, int fd, int other, struct term *term)
{
	long channel = dial(term);
	if (channel < 0)
		return channel;
	request->contract = MOULT_CONTRACT;
	request->generation = generation;
	for (int i = 0; i < MOULT_TOKEN_DIGITS; i++)
		request->token[i] = token[i];
	long result = send_on(channel, request, fd, other, term);
	if (result >= 0)
		return channel;
	raw(SYS_close, channel);
	return result == -EAGAIN || result == -EINTR ? -ETIMEDOUT : result;
}

/*
 * Receives the reply and closes `channel`.  The reply may carry up to MOULT_DESCRIPTORS
 * descriptors; ret_fds[] is -1 where there is none.
 */
static __attribute__((noinline)) int receive_consume(
        long channel, struct term *term, struct moult_reply *ret_reply, int *ret_fds)
{
	struct iovec part = {ret_reply, sizeof(*ret_reply)};
	alignas(struct cmsghdr) char space[CMSG_SPACE(MOULT_DESCRIPTORS * sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	long result;
	do {
		message.msg_control = space;
		message.msg_controllen = sizeof(space);
		result = raw(SYS_recvmsg, channel, &message, MSG_CMSG_CLOEXEC);
	} while (goes_on(result, channel, term));
	raw(SYS_close, channel);

	struct cmsghdr *header = result > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= header->cmsg_len; i++)
			ret_fds[i] = ((int *)(void *)CMSG_DATA(header))[i];
	if (result == sizeof(*ret_reply)) {
		note_answer();
		return ret_reply->error;
	}
	for (int i = 0; i < MOULT_DESCRIPTORS; i++)
		if (ret_fds[i] >= 0)
			raw(SYS_close, ret_fds[i]);
	return result == -EAGAIN || result == -EINTR ? -ETIMEDOUT
	       : result < 0                          ? (int)result
	                                             : -EPROTO;
}

static int ask(struct moult_request *request, int fd, int other, struct term *term,
        struct moult_reply *ret_reply, int *ret_fds)
{
	ret_fds[0] = ret_fds[1] = -1;
	long channel = send_request(request, fd, other, term);
	return channel < 0 ? (int)channel : receive_consume(channel, term, ret_reply, ret_fds);
}

int member_ask_until(int64_t deadline, struct moult_request *request, int fd, int other,
        struct moult_reply *ret_reply, int *ret_fd)
{
	int fds[MOULT_DESCRIPTORS];
	struct term term = term_new(deadline);
	int result = ask(request, fd, other, &term, ret_reply, fds);
	if (result == -ETIMEDOUT)
		note_silence(&term);
	if (ret_fd)
		*ret_fd = fds[0];
	else if (fds[0] >= 0)
		raw(SYS_close, fds[0]);
	if (fds[1] >= 0)
		raw(SYS_close, fds[1]);
	return result;
}

int member_ask(struct moult_request *request, int fd, int other, struct moult_reply *ret_reply,
        int *ret_fd)
{
	return member_ask_until(INT64_MAX, request, fd, other, ret_reply, ret_fd);
}

void member_tell(struct moult_request *request, int fd)
{
	struct term term = term_new(INT64_MAX);
	long channel = send_request(request, fd, -1, &term);
	if (channel >= 0) /* not a reply: the request was put into the queue */
		raw(SYS_close, channel);
	else if (channel == -ETIMEDOUT)
		note_silence(&term);
}

int member_ask_for_all(struct moult_request *request, struct moult_reply *ret_reply,
        int ret_fds[MOULT_DESCRIPTORS])
{
	struct term term = term_new(INT64_MAX);
	return ask(request, -1, -1, &term, ret_reply, ret_fds);
}

void member_set_address(
        struct moult_request *request, const struct sockaddr *address, socklen_t length)
{
	request->address_length = length;
	for (socklen_t i = 0; i < length; i++)
		((char *)&request->address)[i] = ((const char *)address)[i];
}
