/* SPDX-License-Identifier: MIT */
/* What a process of a generation may bind, and which listeners it may get. */
#include "helper/requests/rights.h"

#include <linux/capability.h>
#include <stdio.h>

#include "helper/kernel/namespace.h"

/* False also if the process has executed a set-uid program since it connected. */
static bool has_capability(const struct asker *asker, int capability)
{
	char path[32], line[128];
	unsigned long long effective = 0;
	unsigned uid[4] = {0};
	bool is_same = false;
	snprintf(path, sizeof(path), "/proc/%d/status", asker->pid);
	FILE *status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status)) {
		if (sscanf(line, "Uid: %u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) == 4)
			is_same = uid[0] == asker->uid && uid[1] == asker->uid &&
			          uid[2] == asker->uid && uid[3] == asker->uid;
		else if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	}
	if (status)
		(void)fclose(status);
	/*
	 * Only in the launcher's user namespace: in one of its own a process has all capabilities.
	 */
	return is_same && (effective >> capability & 1) &&
	       namespace_is_shared(asker->pid, "ns/user") == 1;
}

/* The first port that needs no privilege; 1024 if the kernel does not say. */
static int first_free_port(void)
{
	int port = 1024;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	if (!file)
		return port;
	if (fscanf(file, "%d", &port) != 1)
		port = 1024;
	(void)fclose(file);
	return port;
}

static bool could_bind(
        const struct listener *listener, const struct request *request, const struct look *look)
{
	const struct identity *identity = &listener->identity;
	if (!identity_is_inet(identity))
		return identity_is_abstract(identity) || (look && look->replaceable);
	return identity_port(identity) >= first_free_port() ||
	       has_capability(&request->asker, CAP_NET_BIND_SERVICE);
}

bool right_to_take(const struct generation *generation, const struct listener *listener, uint32_t i,
        const struct request *request, const struct look *look)
{
	uid_t uid = request->asker.uid;
	if (uid == 0)
		return true;
	if (generation->holds[i] && generation->holds[i] != HOLDS_PASSED)
		return uid == generation->taken_by[i];
	return uid == listener->taken_by ||
	       (uid == generation->first_uid && could_bind(listener, request, look));
}
