/* SPDX-License-Identifier: MIT */
/* Runs systemctl(1). */
#include "helper/unit/systemctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/base/util.h"
#include "helper/process/inherited.h"

enum { OUTPUT_MAX = 1024 * 1024 };

/* In the forked child.  Without a pager and without questions. */
static void execute(const char *const words[], int output)
{
	const char *command[SYSTEMCTL_WORDS_MAX + 3] = {"systemctl", "--no-pager"};
	size_t count = 2;

	while (words[count - 2] && count < SYSTEMCTL_WORDS_MAX + 2) {
		command[count] = words[count - 2];
		count++;
	}
	if (output >= 0 && dup2(output, STDOUT_FILENO) < 0)
		_exit(127);
	(void)setenv("SYSTEMD_COLORS", "0", 1);
	inherited_give();
	(void)execvp(command[0], (char **)command);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Reads to the end, also what is too long, so that the writer does not wait. */
static int read_all(int fd, char **ret_text)
{
	char *text = malloc(OUTPUT_MAX + 1), rest[4096];
	size_t length = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	do {
		bool full = length == OUTPUT_MAX;

		n = full ? read(fd, rest, sizeof(rest))
		         : read(fd, text + length, OUTPUT_MAX - length);
		if (n > 0 && !full)
			length += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[length] = '\0';
	*ret_text = text;
	return strlen(text) == length ? 0 : -EILSEQ;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status))
		return -EINTR;
	return WEXITSTATUS(status) == 127 ? -ENOENT : WEXITSTATUS(status);
}

int systemctl_run(const char *const words[])
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		execute(words, -1);
	return wait_for(pid);
}

int systemctl_read(const char *const words[], char **ret_text)
{
	int ends[2], result, read_result;
	pid_t pid;

	*ret_text = NULL;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		execute(words, ends[1]);
	result = pid < 0 ? -errno : 0;
	close(ends[1]);
	read_result = result < 0 ? result : read_all(ends[0], ret_text);
	close(ends[0]);
	if (pid > 0)
		result = wait_for(pid);
	return result < 0 || read_result == 0 ? result : read_result;
}

bool systemctl_property(const char *text, const char *key, char *value, size_t size)
{
	size_t length = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		size_t end;

		line += *line == '\n';
		if (strncmp(line, key, length) != 0 || line[length] != '=')
			continue;
		line += length + 1;
		end = strcspn(line, "\n");
		if (end >= size)
			return false;
		memcpy(value, line, end);
		value[end] = '\0';
		return true;
	}
	return false;
}
