/* SPDX-License-Identifier: MIT */
/*
 * The libc functions underneath the hooks.
 *
 * Before the library's constructor has run, each entry is a plain system call.  Allocators call
 * close() and similar functions while they initialise, and looking up a symbol there would allocate
 * (redis with jemalloc dies of that).  Afterwards each entry is libc's function, or the next
 * preloaded library's.  These are cancellation points, and sanitizers see them.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/*
 * Functions that can be made as a plain system call: FUNCTION(result, name, parameters).  syscall
 * stays first: shim/hook/syscall.c jumps through the start of the table.
 */
#define REAL_CALLS(FUNCTION)                                                                       \
	FUNCTION(long, syscall, (long, ...))                                                       \
	FUNCTION(int, bind, (int, const struct sockaddr *, socklen_t))                             \
	FUNCTION(int, listen, (int, int))                                                          \
	FUNCTION(int, accept, (int, struct sockaddr *, socklen_t *))                               \
	FUNCTION(int, accept4, (int, struct sockaddr *, socklen_t *, int))                         \
	FUNCTION(int, shutdown, (int, int))                                                        \
	FUNCTION(int, connect, (int, const struct sockaddr *, socklen_t))                          \
	FUNCTION(int, setsockopt, (int, int, int, const void *, socklen_t))                        \
	FUNCTION(int, getsockopt, (int, int, int, void *, socklen_t *))                            \
	FUNCTION(ssize_t, read, (int, void *, size_t))                                             \
	FUNCTION(ssize_t, readv, (int, const struct iovec *, int))                                 \
	FUNCTION(ssize_t, recv, (int, void *, size_t, int))                                        \
	FUNCTION(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *))    \
	FUNCTION(ssize_t, recvmsg, (int, struct msghdr *, int))                                    \
	FUNCTION(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *))         \
	FUNCTION(int, open, (const char *, int, ...))                                              \
	FUNCTION(int, open64, (const char *, int, ...))                                            \
	FUNCTION(int, truncate, (const char *, long))                                              \
	FUNCTION(int, truncate64, (const char *, long))                                            \
	FUNCTION(int, ftruncate, (int, long))                                                      \
	FUNCTION(int, ftruncate64, (int, long))                                                    \
	FUNCTION(int, unlink, (const char *))                                                      \
	FUNCTION(int, unlinkat, (int, const char *, int))                                          \
	FUNCTION(int, renameat, (int, const char *, int, const char *))                            \
	FUNCTION(int, renameat2, (int, const char *, int, const char *, unsigned))                 \
	FUNCTION(int, close, (int))                                                                \
	FUNCTION(int, close_range, (unsigned, unsigned, int))                                      \
	FUNCTION(void, closefrom, (int))                                                           \
	FUNCTION(int, dup, (int))                                                                  \
	FUNCTION(int, dup2, (int, int))                                                            \
	FUNCTION(int, dup3, (int, int, int))                                                       \
	FUNCTION(int, fcntl, (int, int, ...))                                                      \
	FUNCTION(int, ioctl, (int, unsigned long, ...))                                            \
	FUNCTION(int, epoll_ctl, (int, int, int, struct epoll_event *))                            \
	FUNCTION(int, epoll_wait, (int, struct epoll_event *, int, int))                           \
	FUNCTION(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))        \
	FUNCTION(int, epoll_pwait2,                                                                \
	        (int, struct epoll_event *, int, const struct timespec *, const sigset_t *))       \
	FUNCTION(int, poll, (struct pollfd *, nfds_t, int))                                        \
	FUNCTION(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *)) \
	FUNCTION(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))               \
	FUNCTION(int, pselect,                                                                     \
	        (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))    \
	FUNCTION(int, prctl, (int, ...))                                                           \
	FUNCTION(int, clock_gettime, (clockid_t, struct timespec *))                               \
	FUNCTION(int, execve, (const char *, char *const[], char *const[]))                        \
	FUNCTION(int, execveat, (int, const char *, char *const[], char *const[], int))

/* Functions that only libc has; NULL if it lacks one. */
#define REAL_LIBRARY(FUNCTION)                                                                    \
	FUNCTION(int, execvpe, (const char *, char *const[], char *const[]))                      \
	FUNCTION(int, fexecve, (int, char *const[], char *const[]))                               \
	FUNCTION(int, posix_spawn,                                                                \
	        (pid_t *, const char *, const posix_spawn_file_actions_t *,                       \
	                const posix_spawnattr_t *, char *const[], char *const[]))                 \
	FUNCTION(int, posix_spawnp,                                                               \
	        (pid_t *, const char *, const posix_spawn_file_actions_t *,                       \
	                const posix_spawnattr_t *, char *const[], char *const[]))                 \
	FUNCTION(int, system, (const char *))                                                     \
	FUNCTION(FILE *, popen, (const char *, const char *))                                     \
	FUNCTION(int, __poll_chk, (struct pollfd *, nfds_t, int, size_t))                         \
	FUNCTION(int, __ppoll_chk,                                                                \
	        (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t))     \
	FUNCTION(int, remove, (const char *))                                                     \
	FUNCTION(ssize_t, __read_chk, (int, void *, size_t, size_t))                              \
	FUNCTION(ssize_t, __recv_chk, (int, void *, size_t, size_t, int))                         \
	FUNCTION(ssize_t, __recvfrom_chk,                                                         \
	        (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *))               \
	FUNCTION(int, pthread_setcanceltype, (int, int *))                                        \
	FUNCTION(int, pthread_key_create, (pthread_key_t *, void (*)(void *)))                    \
	FUNCTION(int, pthread_setspecific, (pthread_key_t, const void *))                         \
	FUNCTION(int, fclose, (FILE *))                                                           \
	FUNCTION(int, fileno_unlocked, (FILE *))                                                  \
	FUNCTION(FILE *, freopen, (const char *, const char *, FILE *))                           \
	FUNCTION(FILE *, freopen64, (const char *, const char *, FILE *))                         \
	FUNCTION(int, posix_spawn_file_actions_init, (posix_spawn_file_actions_t *))              \
	FUNCTION(int, posix_spawn_file_actions_destroy, (posix_spawn_file_actions_t *))           \
	FUNCTION(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t *, int, int)) \
	FUNCTION(int, posix_spawn_file_actions_addclose, (posix_spawn_file_actions_t *, int))     \
	FUNCTION(int, posix_spawn_file_actions_addopen,                                           \
	        (posix_spawn_file_actions_t *, int, const char *, int, mode_t))                   \
	FUNCTION(int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t *, int))

struct real {
#define FUNCTION(result, name, parameters) result(*name) parameters;
	REAL_CALLS(FUNCTION)
	REAL_LIBRARY(FUNCTION)
#undef FUNCTION
};
extern struct real real;

/*
 * Looks up every function.  For the constructor, and for library functions that are called before
 * it.
 */
void real_resolve(void);

/* What a call of libc that fails does. */
static inline int fail(int error)
{
	errno = error;
	return -1;
}
