/* SPDX-License-Identifier: MIT */
/*
 * exec, posix_spawn, system and popen.  The new program gets the shim's variables if
 * environment_follows() or environment_follows_spawn() says so.
 *
 * An exec may run in a vfork child, on the stack and in the memory of the parent.  So a small
 * environment is built on the stack, a larger one in the thread's kept mapping (shim/scratch.h),
 * and nothing else is written.
 */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "shim/environment.h"
#include "shim/heritage.h"
#include "shim/hook/interpose.h"
#include "shim/member.h"
#include "shim/real.h"
#include "shim/scratch.h"

/* Memory for one call, given back when the hook returns.  A successful exec does not return. */
#define SCRATCH struct scratch scratch __attribute__((cleanup(scratch_give))) = SCRATCH_NONE

static char *const *extended(struct scratch *scratch, char *const environment[])
{
	void *room = scratch_take(scratch, environment_room(environment));
	return room ? environment_extend(room, environment) : environment;
}

static char *const *member(struct scratch *scratch, char *const environment[])
{
	return environment_follows() ? extended(scratch, environment) : environment;
}

static char *const *spawned(struct scratch *scratch, char *const environment[],
        const posix_spawn_file_actions_t *actions)
{
	return environment_follows_spawn(actions) ? extended(scratch, environment) : environment;
}

INTERPOSE(int, execve, const char *path, char *const argv[], char *const environment[])
{
	SCRATCH;
	return real.execve(path, argv, member(&scratch, environment));
}

INTERPOSE(int, execv, const char *path, char *const argv[])
{
	SCRATCH;
	return real.execve(path, argv, member(&scratch, environ));
}

INTERPOSE(int, execvpe, const char *file, char *const argv[], char *const environment[])
{
	SCRATCH;
	if (!real.execvpe)
		real_resolve();
	return real.execvpe(file, argv, member(&scratch, environment));
}

INTERPOSE(int, execvp, const char *file, char *const argv[])
{
	return interposed_execvpe(file, argv, environ);
}

INTERPOSE(int, fexecve, int fd, char *const argv[], char *const environment[])
{
	SCRATCH;
	if (!real.fexecve)
		real_resolve();
	return real.fexecve(fd, argv, member(&scratch, environment));
}

INTERPOSE(int, execveat, int directory, const char *path, char *const argv[],
        char *const environment[], int flags)
{
	SCRATCH;
	return real.execveat(directory, path, argv, member(&scratch, environment), flags);
}

/*
 * Builds the argv of an execl() on the stack: counts the words after `first`, then copies them.
 * `list` then stands behind the final NULL, where execle() has its environment.
 */
#define COLLECT(argv, first, list)                             \
	do {                                                   \
		va_list counting;                              \
		size_t count = 1;                              \
		va_start(counting, first);                     \
		while (va_arg(counting, char *))               \
			count++;                               \
		va_end(counting);                              \
		(argv) = alloca((count + 1) * sizeof(char *)); \
		(argv)[0] = (char *)(first);                   \
		for (size_t i = 1; i <= count; i++)            \
			(argv)[i] = va_arg(list, char *);      \
	} while (0)

INTERPOSE(int, execl, const char *path, const char *first, ...)
{
	char **argv;
	va_list list;
	va_start(list, first);
	COLLECT(argv, first, list);
	va_end(list);
	return interposed_execve(path, argv, environ);
}

INTERPOSE(int, execlp, const char *file, const char *first, ...)
{
	char **argv;
	va_list list;
	va_start(list, first);
	COLLECT(argv, first, list);
	va_end(list);
	return interposed_execvpe(file, argv, environ);
}

INTERPOSE(int, execle, const char *path, const char *first, ...)
{
	char **argv;
	va_list list;
	va_start(list, first);
	COLLECT(argv, first, list);
	char *const *environment = va_arg(list, char *const *);
	va_end(list);
	return interposed_execve(path, argv, environment);
}

INTERPOSE(int, posix_spawn, pid_t *ret_pid, const char *path,
        const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
        char *const argv[], char *const environment[])
{
	SCRATCH;
	if (!real.posix_spawn)
		real_resolve();
	return real.posix_spawn(
	        ret_pid, path, actions, attributes, argv, spawned(&scratch, environment, actions));
}

INTERPOSE(int, posix_spawnp, pid_t *ret_pid, const char *file,
        const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
        char *const argv[], char *const environment[])
{
	SCRATCH;
	if (!real.posix_spawnp)
		real_resolve();
	return real.posix_spawnp(
	        ret_pid, file, actions, attributes, argv, spawned(&scratch, environment, actions));
}

/* ---- system and popen: libc starts a shell with `environ` ---- */

INTERPOSE(int, system, const char *command)
{
	if (!real.system)
		real_resolve();
	char **before;
	bool lent = command && environment_lend(&before);
	int status = real.system(command);
	if (lent)
		environment_reclaim(before);
	return status;
}

INTERPOSE(FILE *, popen, const char *command, const char *mode)
{
	if (!real.popen)
		real_resolve();
	char **before;
	bool lent = environment_lend(&before);
	FILE *stream = real.popen(command, mode);
	if (lent)
		environment_reclaim(before);
	return stream;
}

/* ---- file actions ---- */

INTERPOSE(int, posix_spawn_file_actions_init, posix_spawn_file_actions_t *actions)
{
	if (!real.posix_spawn_file_actions_init)
		real_resolve();
	if (member_board)
		heritage_forget(actions);
	return real.posix_spawn_file_actions_init(actions);
}

INTERPOSE(int, posix_spawn_file_actions_destroy, posix_spawn_file_actions_t *actions)
{
	if (!real.posix_spawn_file_actions_destroy)
		real_resolve();
	if (member_board)
		heritage_forget(actions);
	return real.posix_spawn_file_actions_destroy(actions);
}

/* Notes the action if libc has added it.  Returns `error`: 0 or an error number. */
static int noted(int error, const posix_spawn_file_actions_t *actions, enum heritage_action action,
        int from, int to)
{
	if (!error && member_board)
		heritage_note(actions, action, from, to);
	return error;
}

INTERPOSE(
        int, posix_spawn_file_actions_adddup2, posix_spawn_file_actions_t *actions, int fd, int to)
{
	if (!real.posix_spawn_file_actions_adddup2)
		real_resolve();
	return noted(real.posix_spawn_file_actions_adddup2(actions, fd, to), actions, HERITAGE_DUP,
	        fd, to);
}

INTERPOSE(int, posix_spawn_file_actions_addclose, posix_spawn_file_actions_t *actions, int fd)
{
	if (!real.posix_spawn_file_actions_addclose)
		real_resolve();
	return noted(real.posix_spawn_file_actions_addclose(actions, fd), actions, HERITAGE_REPLACE,
	        -1, fd);
}

INTERPOSE(int, posix_spawn_file_actions_addopen, posix_spawn_file_actions_t *actions, int fd,
        const char *path, int flags, mode_t mode)
{
	if (!real.posix_spawn_file_actions_addopen)
		real_resolve();
	return noted(real.posix_spawn_file_actions_addopen(actions, fd, path, flags, mode), actions,
	        HERITAGE_REPLACE, -1, fd);
}

INTERPOSE(int, posix_spawn_file_actions_addclosefrom_np, posix_spawn_file_actions_t *actions,
        int first)
{
	if (!real.posix_spawn_file_actions_addclosefrom_np)
		real_resolve();
	if (!real.posix_spawn_file_actions_addclosefrom_np)
		return ENOSYS; /* glibc before 2.34 */
	return noted(real.posix_spawn_file_actions_addclosefrom_np(actions, first), actions,
	        HERITAGE_CLOSEFROM, -1, first);
}
