/* SPDX-License-Identifier: MIT */
/* A message with descriptors on a UNIX socket. */
#include "helper/base/message.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int message_send(int to, const void *data, size_t size, const int *fds, size_t count, int flags)
{
	struct iovec part = {(void *)(uintptr_t)data, size};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(MESSAGE_DESCRIPTORS * sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (count > MESSAGE_DESCRIPTORS)
		return -EINVAL;
	if (count) {
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = (struct cmsghdr *)(void *)space; /* CMSG_FIRSTHDR() */
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	return sendmsg(to, &message, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
