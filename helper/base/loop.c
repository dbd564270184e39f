/* SPDX-License-Identifier: MIT */
/* The launcher's event loop. */
#include "helper/base/loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const nanoseconds ACCEPT_REST = 100 * MILLISECOND;

static int epoll = -1;
static bool ended;
static struct timer *timers; /* armed ones, soonest first */

int loop_init(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	return epoll < 0 ? -errno : 0;
}

int loop_watch(struct watch *watch)
{
	struct epoll_event event = {
	        .events = EPOLLIN | (watch->once ? EPOLLET : 0u), .data.ptr = watch};
	return epoll_ctl(epoll, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

void loop_unwatch(struct watch *watch)
{
	if (watch->fd >= 0)
		(void)epoll_ctl(epoll, EPOLL_CTL_DEL, watch->fd, NULL); /* ENOENT: not registered */
}

void loop_cancel(struct timer *timer)
{
	for (struct timer **at = &timers; *at; at = &(*at)->next)
		if (*at == timer) {
			*at = timer->next;
			break;
		}
	timer->armed = false;
}

void loop_after(struct timer *timer, nanoseconds delay)
{
	loop_cancel(timer);
	if (delay == NEVER)
		return;
	timer->at = after(delay);
	struct timer **at = &timers;
	while (*at && (*at)->at <= timer->at)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	timer->armed = true;
}

static void end_rest(void *context)
{
	struct watch *watch = context;
	int result = loop_watch(watch);
	if (result < 0 && result != -EEXIST) /* -EEXIST: registered already */
		loop_after(watch->rest, ACCEPT_REST);
}

int loop_accept(struct watch *watch, struct timer *rest)
{
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
	int error = errno;
	if (fd >= 0)
		return fd;
	if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
		loop_unwatch(watch);
		rest->fire = end_rest;
		rest->context = watch;
		watch->rest = rest;
		loop_after(rest, ACCEPT_REST);
	}
	return -error;
}

/*
 * Waits until the next timer, at most an hour.  Without epoll_pwait2 (Linux 5.11) the wait is
 * rounded up to milliseconds.  EPERM comes from a system call filter of a service manager or
 * container that does not know epoll_pwait2; the call itself never fails with EPERM.
 */
static int wait_for_one(struct epoll_event *event)
{
	struct timespec timeout = {3600, 0};
	if (timers) {
		nanoseconds left = timers->at - now();
		if (left < 0)
			left = 0;
		if (left < timeout.tv_sec * SECOND)
			timeout = (struct timespec){left / SECOND, left % SECOND};
	}
	int count = (int)syscall(SYS_epoll_pwait2, epoll, event, 1, &timeout, NULL, 0);
	if (count >= 0 || (errno != ENOSYS && errno != EPERM))
		return count;
	return epoll_wait(epoll, event, 1,
	        (int)(timeout.tv_sec * 1000 + (timeout.tv_nsec + MILLISECOND - 1) / MILLISECOND));
}

void loop_run(void (*before)(void *), void *context)
{
	while (!ended) {
		/* One event at a time: a callback may free the watch of any other event. */
		struct epoll_event event;
		int count = wait_for_one(&event);
		before(context);
		while (!ended && timers && timers->at <= now()) {
			struct timer *timer = timers;
			timers = timer->next;
			timer->armed = false;
			timer->fire(timer->context);
			count = 0; /* the watch may be freed; a live event comes again */
		}
		if (!ended && count > 0) {
			struct watch *watch = event.data.ptr;
			watch->ready(watch->context);
		}
	}
}

void loop_end(void)
{
	ended = true;
}
