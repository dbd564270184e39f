/* SPDX-License-Identifier: MIT */
/* The place of a UNIX socket with a path. */
#include "helper/state/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/kernel/diag.h"

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

bool place_is_bound_to(uint64_t socket, const struct look *look)
{
	struct diag_row row;
	return S_ISSOCK(look->mode) && look->listed_inode && look->listed_device &&
	       diag_unix_one(socket, &row) == 0 && row.file == look->listed_inode &&
	       row.file_device == look->listed_device;
}
