/* SPDX-License-Identifier: MIT */
/*
 * sock_diag requests and answers.  Every length in an answer is checked before use.
 *
 * If the kernel does not answer such requests, the same list is read from /proc.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/base/util.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/proc_net.h"
#include "shim/contract.h"

enum {
	PORTS = 65536,
	/* With more ports than this the whole dump is read and filtered here, not in the kernel */
	FILTER_PORTS = 64,
	/* Entries of bytecode for one port: ">=" and "<=" take two each, "jump to the end" one */
	FILTER_OPS = 5,
	DUMP_ATTEMPTS = 8,
	DUMP_SECONDS = 5,
	/* The kernel fills at most 32 KiB at a time */
	DUMP_BUFFER = 64 * 1024,
};

/* The launcher's loop stands still during a look for one UNIX socket in /proc. */
static const nanoseconds ONE_PATIENCE = 100 * MILLISECOND;

union request {
	struct nlmsghdr header;
	uint8_t bytes[NLMSG_SPACE(sizeof(struct inet_diag_req_v2)) + NLA_HDRLEN +
	              FILTER_PORTS * FILTER_OPS * sizeof(struct inet_diag_bc_op)];
};

static void request_init(union request *request, const void *body, size_t size)
{
	*request = (union request){
	        .header =
	                {
	                        .nlmsg_len = (uint32_t)NLMSG_LENGTH(size),
	                        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
	                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
	                        .nlmsg_seq = 1,
	                },
	};
	memcpy(request->bytes + NLMSG_HDRLEN, body, size);
}

/*
 * Adds the bytecode for "the source port is one of `list`".  Each operation has two distances: to
 * the next operation if it is true, and if it is false.  A run that stops exactly at the end means
 * yes; beyond the end means no.
 */
static void request_filter(union request *request, const uint16_t *list, size_t count)
{
	const uint16_t op = sizeof(struct inet_diag_bc_op);
	struct nlattr attribute = {.nla_type = INET_DIAG_REQ_BYTECODE};
	struct inet_diag_bc_op code[FILTER_PORTS * FILTER_OPS] = {{0}};
	uint8_t *to = request->bytes + request->header.nlmsg_len;
	size_t used = 0, last = FILTER_OPS * count - 1;

	for (size_t i = 0; i < count; i++) {
		/* The second entry of a comparison holds the port. The last port needs no jump. */
		code[used++] = (struct inet_diag_bc_op){
		        INET_DIAG_BC_S_GE, (uint8_t)(2 * op), (uint16_t)(5 * op)};
		code[used++] = (struct inet_diag_bc_op){0, 0, list[i]};
		code[used++] = (struct inet_diag_bc_op){
		        INET_DIAG_BC_S_LE, (uint8_t)(2 * op), (uint16_t)(3 * op)};
		code[used++] = (struct inet_diag_bc_op){0, 0, list[i]};
		if (used == last)
			break;
		code[used] = (struct inet_diag_bc_op){
		        INET_DIAG_BC_JMP, (uint8_t)op, (uint16_t)((last - used) * op)};
		used++;
	}
	attribute.nla_len = (uint16_t)(NLA_HDRLEN + used * op);
	memcpy(to, &attribute, sizeof(attribute));
	memcpy(to + NLA_HDRLEN, code, used * op);
	request->header.nlmsg_len += attribute.nla_len;
}

static void parse_inet(const uint8_t *body, size_t size, struct diag_row *row)
{
	struct inet_diag_msg message;

	if (size < sizeof(message))
		return;
	memcpy(&message, body, sizeof(message));
	row->family = message.idiag_family;
	row->state = message.idiag_state;
	row->inode = message.idiag_inode;
	row->port = ntohs(message.id.idiag_sport);
	memcpy(row->address, message.id.idiag_src, sizeof(row->address));
}

static void parse_unix(const uint8_t *body, size_t size, struct diag_row *row)
{
	struct unix_diag_msg message;
	struct unix_diag_rqlen queue;
	struct unix_diag_vfs file;
	uint32_t peer;
	struct nlattr attribute;
	size_t offset = NLMSG_ALIGN(sizeof(message));

	if (size < sizeof(message))
		return;
	memcpy(&message, body, sizeof(message));
	row->family = message.udiag_family;
	row->state = message.udiag_state;
	row->type = message.udiag_type;
	row->inode = message.udiag_ino;
	while (offset <= size && size - offset >= sizeof(attribute)) {
		const uint8_t *value = body + offset + NLA_HDRLEN;

		memcpy(&attribute, body + offset, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > size - offset)
			return;
		if (attribute.nla_type == UNIX_DIAG_NAME || attribute.nla_type == UNIX_DIAG_VFS)
			row->name = moult_hash(row->name ? row->name : MOULT_HASH_START, value,
			        attribute.nla_len - (unsigned)NLA_HDRLEN);
		if (attribute.nla_type == UNIX_DIAG_VFS &&
		        attribute.nla_len >= NLA_HDRLEN + sizeof(file)) {
			memcpy(&file, value, sizeof(file));
			row->file = file.udiag_vfs_ino;
			row->file_device = file.udiag_vfs_dev;
		}
		if (attribute.nla_type == UNIX_DIAG_PEER &&
		        attribute.nla_len >= NLA_HDRLEN + sizeof(peer)) {
			memcpy(&peer, value, sizeof(peer));
			row->peer = peer;
		}
		if (attribute.nla_type == UNIX_DIAG_RQLEN &&
		        attribute.nla_len >= NLA_HDRLEN + sizeof(queue)) {
			memcpy(&queue, value, sizeof(queue));
			row->queued = queue.udiag_rqueue;
			row->limit = queue.udiag_wqueue;
		}
		offset += NLA_ALIGN(attribute.nla_len);
	}
}

/* The -errno of a DONE or ERROR message; 0: no error. */
static int parse_error(const uint8_t *body, size_t size)
{
	int error = 0;

	if (size < sizeof(error))
		return 0;
	memcpy(&error, body, sizeof(error));
	return error < 0 ? error : 0;
}

/*
 * One datagram of a dump.  1: more follow; 0: this was the last; -EAGAIN: the kernel's table
 * changed during the dump, which may be incomplete; other -errno.
 */
static int parse_datagram(const uint8_t *data, size_t size, struct diag_rows *rows)
{
	struct nlmsghdr header;

	for (size_t offset = 0; size - offset >= sizeof(header);) {
		const uint8_t *body = data + offset + NLMSG_HDRLEN;
		size_t length, step;
		struct diag_row row = {0};

		memcpy(&header, data + offset, sizeof(header));
		if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > size - offset)
			return -EBADMSG;
		length = header.nlmsg_len - NLMSG_HDRLEN;
		if (header.nlmsg_flags & NLM_F_DUMP_INTR)
			return -EAGAIN;
		if (header.nlmsg_type == NLMSG_DONE)
			return parse_error(body, length);
		if (header.nlmsg_type == NLMSG_ERROR) /* error 0: the acknowledgement (NLM_F_ACK) */
			return parse_error(body, length);
		if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY && length > 0) {
			if (body[0] == AF_UNIX)
				parse_unix(body, length, &row);
			else
				parse_inet(body, length, &row);
			if (diag_rows_add(rows, &row) < 0)
				return -ENOMEM;
		}
		step = NLMSG_ALIGN(header.nlmsg_len);
		offset = step < size - offset ? offset + step : size;
	}
	return 1;
}

static int dump_once(
        const union request *request, nanoseconds deadline, uint8_t *buffer, struct diag_rows *rows)
{
	CLEANUP(fd_close)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval limit = {.tv_sec = DUMP_SECONDS};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK}, from;
	int result = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
	            sizeof(kernel)) < 0)
		return -errno;
	while (result > 0) {
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(
		        fd, buffer, DUMP_BUFFER, MSG_TRUNC, (struct sockaddr *)&from, &length);

		if (now() >= deadline)
			return -ETIMEDOUT;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0 || n > DUMP_BUFFER)
			return -EBADMSG;
		/* Other processes may send to our netlink socket; only the kernel has port 0 */
		if (length == sizeof(from) && from.nl_pid == 0)
			result = parse_datagram(buffer, (size_t)n, rows);
	}
	return result;
}

/* Appends the rows of a dump. 0 or -errno; -EAGAIN: no attempt gave a complete dump. */
static int dump(const union request *request, nanoseconds deadline, struct diag_rows *rows)
{
	size_t before = rows->count;
	uint8_t *buffer = malloc(DUMP_BUFFER);
	int result = -EAGAIN;

	if (!buffer)
		return -ENOMEM;
	for (int i = 0; i < DUMP_ATTEMPTS && result == -EAGAIN; i++) {
		rows->count = before;
		result = dump_once(request, deadline, buffer, rows);
	}
	free(buffer);
	return result;
}

/*
 * Is this the -errno of a kernel or a sandbox without sock_diag, or without the part for these
 * sockets?  A sandbox chooses its errno itself, so every one counts that is not a matter of the
 * moment.
 */
static bool is_missing(int result)
{
	return result < 0 && result != -ENOMEM && result != -ENOBUFS && result != -EMFILE &&
	       result != -ENFILE && result != -EAGAIN && result != -ETIMEDOUT;
}

static int dump_tcp(
        unsigned states, const struct port_set *ports, nanoseconds deadline, struct diag_rows *rows)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	uint16_t list[FILTER_PORTS];
	size_t count = 0;

	for (unsigned port = 0; ports && port < PORTS && count <= FILTER_PORTS; port++) {
		if (!port_set_has(ports, (uint16_t)port))
			continue;
		if (count < FILTER_PORTS)
			list[count] = (uint16_t)port;
		count++;
	}
	for (size_t i = 0; i < COUNT(families); i++) {
		struct inet_diag_req_v2 body = {
		        .sdiag_family = families[i],
		        .sdiag_protocol = IPPROTO_TCP,
		        .idiag_states = states,
		};
		union request request;
		int result;

		request_init(&request, &body, sizeof(body));
		if (count > 0 && count <= FILTER_PORTS)
			request_filter(&request, list, count);
		result = dump(&request, deadline, rows);
		/* -ENOENT: a kernel without IPv6 */
		if (result < 0 && !(families[i] == AF_INET6 && result == -ENOENT))
			return result;
	}
	return 0;
}

int diag_tcp(
        unsigned states, const struct port_set *ports, nanoseconds deadline, struct diag_rows *rows)
{
	int result = dump_tcp(states, ports, deadline, rows);
	size_t kept = 0;

	if (is_missing(result)) {
		rows->count = 0;
		result = proc_net_tcp(states, deadline, rows);
	}
	if (result < 0)
		return result;
	for (size_t i = 0; i < rows->count; i++)
		if (!ports || port_set_has(ports, rows->rows[i].port))
			rows->rows[kept++] = rows->rows[i];
	rows->count = kept;
	return 0;
}

int diag_udp_connected(struct diag_rows *rows)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	size_t before = rows->count;

	for (size_t i = 0; i < COUNT(families); i++) {
		/* A UDP socket with a peer is in ESTABLISHED, one without a peer in CLOSE */
		struct inet_diag_req_v2 body = {
		        .sdiag_family = families[i],
		        .sdiag_protocol = IPPROTO_UDP,
		        .idiag_states = 1u << TCP_ESTABLISHED,
		};
		union request request;
		int result;

		request_init(&request, &body, sizeof(body));
		result = dump(&request, NEVER, rows);
		/* -ENOENT: a kernel without IPv6 */
		if (families[i] == AF_INET6 && result == -ENOENT)
			continue;
		if (is_missing(result)) {
			rows->count = before;
			return proc_net_udp_connected(rows);
		}
		if (result < 0)
			return result;
	}
	return 0;
}

static void request_init_unix(union request *request, uint32_t inode)
{
	struct unix_diag_req body = {
	        .sdiag_family = AF_UNIX,
	        .udiag_states = UINT32_MAX,
	        .udiag_ino = inode,
	        .udiag_cookie = {UINT32_MAX, UINT32_MAX}, /* any */
	        .udiag_show = UDIAG_SHOW_RQLEN | UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER,
	};

	request_init(request, &body, sizeof(body));
}

int diag_unix(struct diag_rows *rows)
{
	size_t before = rows->count;
	union request request;
	int result;

	request_init_unix(&request, 0);
	result = dump(&request, NEVER, rows);
	if (!is_missing(result))
		return result;
	rows->count = before;
	return proc_net_unix(rows);
}

int diag_unix_one(uint64_t inode, struct diag_row *ret_row)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	union request request;
	int result;

	request_init_unix(&request, (uint32_t)inode);
	/* Not a dump: a single answer without NLMSG_DONE. The acknowledgement ends it. */
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	result = dump(&request, NEVER, &rows);
	/* -ENOENT is also what a kernel without unix_diag says */
	if (is_missing(result))
		return proc_net_unix_one(inode, after(ONE_PATIENCE), ret_row);
	if (result < 0)
		return result;
	if (rows.count != 1 || rows.rows[0].inode != inode)
		return -ENOENT;
	*ret_row = rows.rows[0];
	return 0;
}

/* Asks for sockets in no state at all: the answer has no rows. */
int diag_try(const char **ret_module)
{
	static const struct {
		uint8_t protocol;
		const char *module;
	} inet[] = {{IPPROTO_TCP, "tcp_diag"}, {IPPROTO_UDP, "udp_diag"}};
	const struct unix_diag_req nothing = {.sdiag_family = AF_UNIX};
	struct diag_rows rows = {0};
	union request request;
	int result, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	*ret_module = NULL;
	if (fd < 0)
		return -errno;
	close(fd);
	for (size_t i = 0; i < COUNT(inet); i++) {
		const struct inet_diag_req_v2 body = {
		        .sdiag_family = AF_INET, .sdiag_protocol = inet[i].protocol};

		*ret_module = inet[i].module;
		request_init(&request, &body, sizeof(body));
		result = dump(&request, NEVER, &rows);
		if (is_missing(result))
			return result;
	}
	*ret_module = "unix_diag";
	request_init(&request, &nothing, sizeof(nothing));
	result = dump(&request, NEVER, &rows);
	diag_rows_deinit(&rows);
	return is_missing(result) ? result : 0;
}
