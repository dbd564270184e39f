/* SPDX-License-Identifier: MIT */
/*
 * Connections and listeners, from sock_diag dumps.
 *
 * Only ports are compared.  A connection may have come in on any address of the host, and an IPv4
 * connection to a dual-stack listener is an AF_INET6 row with a mapped address.
 */
#include "helper/kernel/audit.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/base/util.h"
#include "helper/kernel/diag.h"

/* States of a row as bits. TIME_WAIT, LISTEN and CLOSE are not connections. */
#define STATE(state)     (1u << (state))
#define STATES_CONNECTED (0xfffu & ~(STATE(TCP_TIME_WAIT) | STATE(TCP_LISTEN) | STATE(TCP_CLOSE)))

/* The launcher's loop stands still during this dump. */
static const nanoseconds HANDSHAKES_PATIENCE = 100 * MILLISECOND;

size_t audit_join(const struct inode_set *a, const struct inode_set *b)
{
	size_t i = 0, k = 0, both = 0;

	while (i < a->count && k < b->count) {
		uint64_t x = a->inodes[i], y = b->inodes[k];

		both += x == y;
		i += x <= y;
		k += y <= x;
	}
	return both;
}

int audit_connections(const struct audit_port *ports, size_t count, struct inode_set *ret_set)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	struct inode_set set = {0};
	struct port_set wanted = {0};
	int result;

	for (size_t i = 0; i < count; i++)
		port_set_add(&wanted, ports[i].port);
	result = count > 0 ? diag_tcp(STATES_CONNECTED, &wanted, NEVER, &rows) : 0;
	for (size_t i = 0; i < rows.count && result == 0; i++)
		if (rows.rows[i].inode != 0)
			result = inode_set_add(&set, rows.rows[i].inode);
	if (result < 0) {
		inode_set_deinit(&set);
		return result;
	}
	inode_set_sort(&set);
	*ret_set = set;
	return 0;
}

static bool is_one_of(uint64_t value, const uint64_t *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (values[i] == value)
			return true;
	return false;
}

/* A service manager gives all processes the same sockets as output; they lead out. */
static bool is_standard_stream(uint64_t inode)
{
	struct stat status;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == inode)
			return true;
	return false;
}

/*
 * Where the other ends are not known: may these processes be connected to each other?  Then they
 * have a socket that was not accepted from the listeners with these names.
 */
static bool may_be_internal(const struct diag_rows *rows, const struct inode_set *own,
        const uint64_t *names, size_t named)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct diag_row *row = &rows->rows[i];

		if (row->vague && row->state != TCP_LISTEN && row->type != SOCK_DGRAM &&
		        inode_set_has(own, row->inode) && !is_standard_stream(row->inode) &&
		        !is_one_of(row->name, names, named))
			return true;
	}
	return false;
}

/* An accepted socket has the name and file of its listener. A row may have no inode or name: 0. */
int audit_unix_connections(const uint64_t *listeners, size_t count, const struct inode_set *own,
        bool is_all, struct inode_set *set, bool *ret_internal)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	int result = diag_unix(&rows);
	uint64_t *names = result == 0 ? calloc(rows.count + 1, sizeof(*names)) : NULL;
	size_t named = 0;
	bool doubtful;

	*ret_internal = false;
	if (result == 0 && !names)
		result = -ENOMEM;
	for (size_t i = 0; i < rows.count && result == 0; i++) {
		const struct diag_row *row = &rows.rows[i];

		if (row->state == TCP_LISTEN && row->name &&
		        is_one_of(row->inode, listeners, count) &&
		        !is_one_of(row->name, names, named))
			names[named++] = row->name;
	}
	doubtful = result == 0 && (!is_all || may_be_internal(&rows, own, names, named));
	for (size_t i = 0; i < rows.count && result == 0; i++) {
		const struct diag_row *row = &rows.rows[i];

		if (row->state == TCP_LISTEN || row->type == SOCK_DGRAM || !row->inode ||
		        !row->name || !is_one_of(row->name, names, named))
			continue;
		bool is_internal = row->peer && inode_set_has(own, row->peer);
		if (!is_internal)
			result = inode_set_add(set, row->inode);
		if ((is_internal || (row->vague && doubtful)) && inode_set_has(own, row->inode))
			*ret_internal = true;
	}
	free(names);
	inode_set_sort(set);
	return result;
}

int audit_datagram_peers(struct inode_set *set)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	int result = diag_udp_connected(&rows);

	for (size_t i = 0; i < rows.count && result == 0; i++)
		if (rows.rows[i].inode)
			result = inode_set_add(set, rows.rows[i].inode);
	inode_set_sort(set);
	return result;
}

int audit_listeners(struct audit_listener **ret_rows, size_t *ret_count)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	struct audit_listener *listeners;
	int result = diag_tcp(STATE(TCP_LISTEN), NULL, NEVER, &rows);

	if (result < 0)
		return result;
	listeners = calloc(rows.count + 1, sizeof(*listeners));
	if (!listeners)
		return -ENOMEM;
	for (size_t i = 0; i < rows.count; i++) {
		listeners[i].family = rows.rows[i].family;
		listeners[i].port = rows.rows[i].port;
		listeners[i].inode = rows.rows[i].inode;
		memcpy(listeners[i].address, rows.rows[i].address, sizeof(listeners[i].address));
	}
	*ret_rows = listeners;
	*ret_count = rows.count;
	return 0;
}

int audit_handshakes(struct port_set *ret_ports)
{
	CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
	int result = diag_tcp(STATE(TCP_SYN_RECV), NULL, after(HANDSHAKES_PATIENCE), &rows);

	*ret_ports = (struct port_set){0};
	/* A row with an inode was accepted already (TCP fast open) */
	for (size_t i = 0; i < rows.count && result == 0; i++)
		if (rows.rows[i].inode == 0)
			port_set_add(ret_ports, rows.rows[i].port);
	return result;
}
