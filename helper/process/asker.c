/* SPDX-License-Identifier: MIT */
/* The process on whose behalf an operation on a path is done, and its credentials. */
#include "helper/process/asker.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/kernel/permitted.h"
#include "helper/process/confine.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

int asker_of_peer(int connection, uint32_t generation, struct asker *ret_asker)
{
	struct asker asker = {.generation = generation};
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return -errno;
	asker.pid = peer.pid;
	asker.uid = peer.uid;
	asker.gid = peer.gid;
	length = sizeof(asker.groups);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, asker.groups, &length) == 0)
		asker.group_count = length / sizeof(gid_t);
	*ret_asker = asker;
	return 0;
}

static uint32_t kept_by(uid_t uid)
{
	return uid ? 0
	           : 1u << CAP_CHOWN | 1u << CAP_FOWNER | 1u << CAP_DAC_OVERRIDE |
	                       1u << CAP_DAC_READ_SEARCH;
}

static bool is_user(uid_t uid)
{
	uid_t real, effective, saved;
	return getresuid(&real, &effective, &saved) == 0 && real == uid && effective == uid &&
	       saved == uid;
}

/*
 * A launcher that is not root cannot set groups.  That does not matter if the asker has the
 * launcher's own uid: such a process can do anything that the launcher can, by ptrace for example.
 */
bool asker_become(const struct asker *asker)
{
	uid_t own = geteuid();
	if (asker->uid == (uid_t)-1 || asker->gid == (gid_t)-1)
		return false;
	if (!permitted(PERMITTED_IDENTITY)) {
		if (asker->uid != own)
			return false;
		return is_user(own) && confine_capabilities(kept_by(own));
	}
	bool taken = setgroups(asker->group_count, asker->groups) == 0 &&
	             setresgid(asker->gid, asker->gid, asker->gid) == 0;
	if (!taken && asker->uid != own)
		return false;
	if (setresuid(asker->uid, asker->uid, asker->uid) < 0)
		return false;
	/* No process of that user may read this one's memory or use its descriptors. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	return confine_capabilities(kept_by(asker->uid)) && is_user(asker->uid);
}
