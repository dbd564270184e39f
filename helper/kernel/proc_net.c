/* SPDX-License-Identifier: MIT */
/* Reads /proc/self/net. A name of a UNIX socket may hold any byte, also the end of a line. */
#include "helper/kernel/proc_net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/contract.h"

enum {
	READS = 2, /* of each file: see proc_net.h */
	ADDRESS_DIGITS = 32,
	LISTENS = 0x10000, /* __SO_ACCEPTCON in the column "Flags" of unix */
	UNCONNECTED = 1,   /* SS_UNCONNECTED in "St": it listens, or is bound and does neither */
};

/* Makes a row of a line.  False: the line is not to be used. */
typedef bool parser(const char *line, struct diag_row *row);

static int read_once(const char *path, parser *parse, unsigned states, nanoseconds deadline,
        struct diag_rows *rows)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int result = 0;

	if (!file)
		return -errno;
	while (result == 0 && getline(&line, &room, file) > 0) {
		struct diag_row row = {0};

		if (now() >= deadline)
			result = -ETIMEDOUT;
		else if (parse(line, &row) && (states & (1u << row.state)))
			result = diag_rows_add(rows, &row);
	}
	if (result == 0 && ferror(file))
		result = -EIO;
	free(line);
	(void)fclose(file);
	return result;
}

static int read_file(const char *path, parser *parse, unsigned states, nanoseconds deadline,
        struct diag_rows *rows)
{
	int result = 0;

	for (int i = 0; i < READS && result == 0; i++)
		result = read_once(path, parse, states, deadline, rows);
	return result;
}

/* "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  33  0 4711 ..." */
static bool parse_inet(const char *line, struct diag_row *row)
{
	char address[ADDRESS_DIGITS + 1];
	unsigned port, state;
	unsigned long long inode;
	size_t digits;

	if (sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*d %llu",
	            address, &port, &state, &inode) != 4 ||
	        port > UINT16_MAX || state > TCP_CLOSING + 1)
		return false;
	digits = strlen(address);
	/* Words of 4 bytes, each as a number of this machine: written back, they are in network order */
	for (size_t i = 0; i + 8 <= digits; i += 8) {
		unsigned word;

		if (sscanf(address + i, "%8x", &word) != 1)
			return false;
		memcpy(row->address + i / 2, &word, sizeof(word));
	}
	row->family = digits == ADDRESS_DIGITS ? AF_INET6 : AF_INET;
	row->port = (uint16_t)port;
	row->state = (uint8_t)state;
	row->inode = inode;
	return true;
}

/* Both families; a kernel without IPv6 has no second file. */
static int read_inet(const char *ipv4, const char *ipv6, unsigned states, nanoseconds deadline,
        struct diag_rows *rows)
{
	int result = read_file(ipv4, parse_inet, states, deadline, rows);

	if (result < 0)
		return result;
	result = read_file(ipv6, parse_inet, states, deadline, rows);
	return result == -ENOENT ? 0 : result;
}

int proc_net_tcp(unsigned states, nanoseconds deadline, struct diag_rows *rows)
{
	return read_inet("/proc/self/net/tcp", "/proc/self/net/tcp6", states, deadline, rows);
}

int proc_net_udp_connected(struct diag_rows *rows)
{
	return read_inet(
	        "/proc/self/net/udp", "/proc/self/net/udp6", 1u << TCP_ESTABLISHED, NEVER, rows);
}

/* One line of unix; `name` is in the line. */
struct unix_line {
	unsigned flags, type, state;
	unsigned long long inode;
	const char *name;
	size_t length;
};

/* "ffff8880: 00000002 00000000 00010000 0001 01 4712 /run/a.sock"; without a name nothing follows */
static bool parse_unix_line(const char *line, struct unix_line *it)
{
	int end = 0;

	if (sscanf(line, "%*[0-9A-Fa-fx]: %*x %*x %x %x %x %llu%n", &it->flags, &it->type,
	            &it->state, &it->inode, &end) != 4 ||
	        !end || it->type > UINT8_MAX)
		return false;
	it->name = line + end + (line[end] == ' ');
	it->length = strcspn(it->name, "\n");
	return true;
}

static bool parse_unix(const char *line, struct diag_row *row)
{
	struct unix_line it;

	if (!parse_unix_line(line, &it))
		return false;
	row->family = AF_UNIX;
	row->type = (uint8_t)it.type;
	row->state = it.flags & LISTENS ? TCP_LISTEN : TCP_ESTABLISHED;
	row->inode = it.inode;
	row->queued = UINT32_MAX;
	row->vague = true;
	if (it.length)
		row->name = moult_hash(MOULT_HASH_START, it.name, it.length);
	return true;
}

int proc_net_unix(struct diag_rows *rows)
{
	return read_file("/proc/self/net/unix", parse_unix, UINT32_MAX, NEVER, rows);
}

/* A connection that has not been accepted has no inode, and its listener's name. */
static uint32_t count_queued(const struct diag_rows *rows, uint64_t name)
{
	uint32_t queued = 0;

	for (size_t i = 0; i < rows->count && name; i++)
		queued += !rows->rows[i].inode && rows->rows[i].name == name;
	return queued;
}

/* A name with an end of line may look like a second row of that inode: the larger number counts. */
static bool find_one(const struct diag_rows *rows, uint64_t inode, struct diag_row *row)
{
	bool found = false;

	for (size_t i = 0; i < rows->count; i++) {
		uint32_t queued, most = found ? row->queued : 0;

		if (rows->rows[i].inode != inode)
			continue;
		queued = count_queued(rows, rows->rows[i].name);
		*row = rows->rows[i];
		row->queued = queued > most ? queued : most;
		found = true;
	}
	return found;
}

int proc_net_unix_one(uint64_t inode, nanoseconds deadline, struct diag_row *ret_row)
{
	struct diag_row row = {0};
	uint32_t queued = 0;
	bool found = false;

	/* Not the rows of both reads together: each connection would be counted twice */
	for (int i = 0; i < READS && inode; i++) {
		CLEANUP(diag_rows_deinit) struct diag_rows rows = {0};
		int result =
		        read_once("/proc/self/net/unix", parse_unix, UINT32_MAX, deadline, &rows);

		if (result < 0)
			return result;
		if (find_one(&rows, inode, &row)) {
			found = true;
			queued = row.queued > queued ? row.queued : queued;
		}
	}
	if (!found)
		return -ENOENT;
	row.queued = queued;
	*ret_row = row;
	return 0;
}

static bool is_name(const struct unix_line *it, const char *path)
{
	return it->length == strlen(path) && !memcmp(it->name, path, it->length);
}

/*
 * One look at all lines.  With an empty `path` it becomes the name of that socket; else it is
 * compared with the names of all sockets that are no connections.
 */
static int look_at_path(uint64_t inode, nanoseconds deadline, char *path, size_t size)
{
	FILE *file = fopen("/proc/self/net/unix", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = *path;
	int result = file ? 0 : -errno;

	while (result == 0 && getline(&line, &room, file) > 0) {
		struct unix_line it;

		if (now() >= deadline)
			result = -ETIMEDOUT;
		else if (!parse_unix_line(line, &it))
			continue;
		else if (it.inode != inode)
			result = found && it.state == UNCONNECTED && is_name(&it, path) ? -EEXIST
			                                                                : 0;
		else if (*path)
			result = is_name(&it, path) ? 0 : -EEXIST;
		else if (*it.name != '/' || it.length >= size)
			result = -ENOENT;
		else
			(void)snprintf(path, size, "%.*s", (int)it.length, it.name);
	}
	free(line);
	if (file)
		(void)fclose(file);
	return result;
}

int proc_net_unix_path(uint64_t inode, nanoseconds deadline, char *path, size_t size)
{
	int result;

	*path = '\0';
	result = look_at_path(inode, deadline, path, size);
	if (result == 0 && !*path)
		return -ENOENT;
	return result == 0 ? look_at_path(inode, deadline, path, size) : result;
}
