/* SPDX-License-Identifier: MIT */
/* The place of a UNIX socket with a path. */
#include "helper/state/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/kernel/diag.h"
#include "helper/kernel/proc_net.h"

/* The launcher's loop stands still meanwhile. */
static const nanoseconds PATIENCE = 100 * MILLISECOND;

int place_set(struct identity *identity, const char *name, const struct look *look)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	struct sockaddr_un *un = (struct sockaddr_un *)&address;
	struct identity place = *identity;
	size_t length = strnlen(name, sizeof(un->sun_path) + 1);
	if (length > sizeof(un->sun_path))
		return -EINVAL;
	memcpy(un->sun_path, name, length);
	int result = identity_set_address(
	        &place, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	if (result == 0)
		result = identity_set_directory(
		        &place, look->directory.device, look->directory.inode);
	if (result == 0)
		*identity = place;
	return result;
}

bool place_is_bound_to(
        uint64_t socket, const struct asker *asker, int directory, const struct look *look)
{
	char path[sizeof(struct sockaddr_un)];
	struct diag_row row;
	if (!S_ISSOCK(look->mode) || diag_unix_one(socket, &row) < 0)
		return false;
	if (row.vague)
		return proc_net_unix_path(socket, after(PATIENCE), path, sizeof(path)) == 0 &&
		       paths_leads_to(asker, directory, path, look->file);
	return look->listed_inode && look->listed_device && row.file == look->listed_inode &&
	       row.file_device == look->listed_device;
}
