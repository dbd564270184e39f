/* SPDX-License-Identifier: MIT */
/*
 * The wrappers, in one table: which of their words are options and values of options.  The first
 * word behind them is the program.  A short option that is not in the table ends the search.  A
 * long option has its value behind "=", unless the table says that the value is the next word.
 *
 * A wrapper whose command line has other rules has a function of its own.
 */
#include "helper/check/wrapper.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/util.h"

struct wrapper {
	const char *name;
	const char *flags;       /* short options without a value */
	const char *valued;      /* short options with a value */
	const char *long_valued; /* " name name ", long options with a value in the next word */
	size_t operands;         /* words between the options and the program */
	bool clears;             /* does not pass all of its environment on */
	const char *once;        /* a clause: how it prevents a second instance; or NULL */
	bool guesses;            /* looks the program up in a PATH other than ours */
	enum wrapper_answer (*follow)(
	        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping);
};

static enum wrapper_answer unknown(struct wrapping *wrapping, const char *why)
{
	wrapping->unsure = why;
	return WRAPPER_UNKNOWN;
}

/* Is `name` (of this length) in a list like " a b c "? */
static bool is_listed(const char *list, const char *name, size_t length)
{
	const char *at = list;

	while (list && length > 0 && (at = strstr(at, name))) {
		if (at > list && at[-1] == ' ' && at[length] == ' ')
			return true;
		at++;
	}
	return false;
}

/* The number of words of the option at `index`; 0: an unknown option. */
static size_t option_words(const struct wrapper *wrapper, const struct words *words, size_t index)
{
	const char *word = words->word[index];

	if (word[1] == '-')
		return is_listed(wrapper->long_valued, word + 2, strlen(word + 2)) ? 2 : 1;
	for (const char *c = word + 1; *c; c++) {
		if (wrapper->valued && strchr(wrapper->valued, *c))
			return c[1] ? 1 : 2;
		if (!isdigit((unsigned char)*c) && !(wrapper->flags && strchr(wrapper->flags, *c)))
			return 0;
	}
	return 1;
}

/* The index of the first word that is not an option; words->count + 1: an unknown option. */
static size_t skip_options(const struct wrapper *wrapper, const struct words *words)
{
	size_t i = 1, taken;

	while (i < words->count && words->word[i][0] == '-' && words->word[i][1]) {
		if (!strcmp(words->word[i], "--"))
			return i + 1;
		taken = option_words(wrapper, words, i);
		if (taken == 0)
			return words->count + 1;
		i += taken;
	}
	return i < words->count ? i : words->count;
}

static enum wrapper_answer follow_plain(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	size_t first = skip_options(wrapper, words);

	if (first > words->count)
		return unknown(wrapping, "has an option that is not known here");
	first += wrapper->operands;
	if (first >= words->count)
		return WRAPPER_NONE;
	if (words->word[first][0] == '-')
		return unknown(wrapping, "has an option that is not known here");
	(void)words_replace(words, first, NULL, 0);
	return WRAPPER_FOLLOWED;
}

/* ---- env ---- */

static enum wrapper_answer follow_env(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	const char *self = words->word[0];
	size_t i = 1;
	bool is_split = false;

	while (i < words->count) {
		const char *word = words->word[i];
		const char *text = NULL;
		size_t removed = 1;

		if (!strcmp(word, "-") || !strcmp(word, "-i") ||
		        !strcmp(word, "--ignore-environment")) {
			wrapping->clears = true;
			wrapping->lookup.path = NULL;
			i++;
		} else if (!strcmp(word, "--")) {
			i++;
		} else if (!strncmp(word, "-S", 2) || !strncmp(word, "-vS", 3) ||
		           !strncmp(word, "--split-string", 14)) {
			text = word[1] == '-' ? strchr(word, '=') : strchr(word, 'S');
			if (text && *++text == '\0')
				text = NULL;
			if (!text) {
				removed = 2;
				text = i + 1 < words->count ? words->word[i + 1] : "";
			}
			/* The new words may begin with options */
			(void)words_replace(words, i, NULL, 0);
			i = 0;
			if (is_split || words_split(words, removed, text) < 0)
				return unknown(wrapping, "splits its words in its own way");
			is_split = true;
		} else if (!strncmp(word, "-C", 2) || !strncmp(word, "--chdir", 7)) {
			return unknown(wrapping, "changes the working directory");
		} else if (word[0] == '-') {
			size_t taken = option_words(wrapper, words, i);

			if (taken == 0)
				return unknown(wrapping, "has an option that is not known here");
			i += taken;
		} else if (strchr(word, '=')) {
			if (!strncmp(word, "PATH=", 5))
				wrapping->lookup.path = word + 5;
			if (!strncmp(word, "LD_PRELOAD=", 11))
				wrapping->clears = true;
			i++;
		} else {
			(void)words_replace(words, i, NULL, 0);
			return WRAPPER_FOLLOWED;
		}
	}
	/* env without a program prints its environment: the step is env itself */
	(void)words_replace(words, words->count, &self, 1);
	return WRAPPER_NONE;
}

/* ---- shells ---- */

static enum wrapper_answer follow_shell(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	bool has_command = false;
	size_t i = 1;

	(void)wrapper;
	for (; i < words->count && (words->word[i][0] == '-' || words->word[i][0] == '+'); i++) {
		const char *word = words->word[i];

		if (!strcmp(word, "--") || !strcmp(word, "-")) {
			i++;
			break;
		}
		if (word[1] == '-')
			continue;
		has_command = has_command || (word[0] == '-' && strchr(word, 'c'));
		if (strchr(word, 'o')) /* the value of -o is the next word */
			i++;
	}
	if (!has_command || i >= words->count)
		return WRAPPER_NONE;
	wrapping->guesses = true;
	switch (words_from_shell(words, words->word[i], false)) {
	case SHELL_COMMAND: return WRAPPER_FOLLOWED;
	case SHELL_BUILT: return unknown(wrapping, "makes up the program's name as it runs");
	case SHELL_SEVERAL: break;
	}
	return unknown(wrapping, "runs several commands");
}

static enum wrapper_answer follow_busybox(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	(void)wrapper;
	if (words->count < 2 || words->word[1][0] == '-')
		return WRAPPER_NONE;
	wrapping->is_applet = true;
	(void)words_replace(words, 1, NULL, 0);
	return WRAPPER_FOLLOWED;
}

/* ---- another user ---- */

static const char *shell_of(const char *user)
{
	const struct passwd *entry = getpwnam(user);

	return entry && entry->pw_shell && *entry->pw_shell ? entry->pw_shell : "/bin/sh";
}

/* su and runuser accept options behind the user's name, too. */
static enum wrapper_answer follow_su(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	const char *command = NULL, *shell = NULL, *user = NULL, *as = NULL;

	wrapping->guesses = true;
	for (size_t i = 1; i < words->count; i++) {
		const char *word = words->word[i];
		const char *value = i + 1 < words->count ? words->word[i + 1] : NULL;
		const char *equals = strchr(word, '=');
		bool is_word = true; /* the option's value is the next word */

		if (word[0] != '-' || !strcmp(word, "-") || !strcmp(word, "--")) {
			if (word[0] != '-' && as) {
				(void)words_replace(words, i, NULL, 0);
				return WRAPPER_FOLLOWED;
			}
			if (word[0] != '-' && !user)
				user = word;
			continue;
		}
		if (word[1] == '-' ? equals != NULL
		                   : strlen(word) > 2 && strchr("csugG", word[1])) {
			value = word[1] == '-' ? equals + 1 : word + 2;
			is_word = false;
		}
		if (!strncmp(word, "-c", 2) || !strncmp(word, "--command", 9) ||
		        !strncmp(word, "--session-command", 17))
			command = value;
		else if (!strncmp(word, "-s", 2) || !strncmp(word, "--shell", 7))
			shell = value;
		else if (!strncmp(word, "-u", 2) || !strncmp(word, "--user", 6))
			as = value;
		else if (option_words(wrapper, words, i) != 2)
			is_word = false;
		if (is_word)
			i++;
	}
	if (!command)
		return unknown(wrapping, "starts a login shell");
	{
		const char *const line[] = {
		        shell ? shell : shell_of(user ? user : "root"), "-c", command};

		(void)words_replace(words, words->count, line, COUNT(line));
	}
	return WRAPPER_FOLLOWED;
}

static enum wrapper_answer follow_sudo(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	size_t first = skip_options(wrapper, words);

	while (first < words->count && strchr(words->word[first], '='))
		first++;
	if (first > words->count)
		return unknown(wrapping, "has an option that is not known here");
	if (first == words->count)
		return WRAPPER_NONE;
	(void)words_replace(words, first, NULL, 0);
	return WRAPPER_FOLLOWED;
}

/* ---- another root ---- */

static enum wrapper_answer follow_chroot(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	size_t first = skip_options(wrapper, words);

	if (first > words->count)
		return unknown(wrapping, "has an option that is not known here");
	if (first + 1 >= words->count)
		return WRAPPER_NONE;
	if (*wrapping->lookup.root)
		return unknown(wrapping, "changes the root a second time");
	if (strcmp(words->word[first], "/") != 0)
		wrapping->lookup.root = words->word[first];
	(void)words_replace(words, first + 1, NULL, 0);
	return WRAPPER_FOLLOWED;
}

/* The words behind "--" are arguments of a shell. */
static enum wrapper_answer follow_capsh(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	static const char *const shell[] = {"/bin/bash"};

	(void)wrapper;
	for (size_t i = 1; i < words->count; i++) {
		if (!strncmp(words->word[i], "--chroot", 8) ||
		        !strncmp(words->word[i], "--shell", 7))
			return unknown(wrapping, "has an option that is not followed here");
		if (strcmp(words->word[i], "--") != 0)
			continue;
		(void)words_replace(words, i + 1, shell, COUNT(shell));
		return WRAPPER_FOLLOWED;
	}
	return WRAPPER_NONE;
}

/* ---- somebody who starts daemons ---- */

static enum wrapper_answer follow_start_stop_daemon(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	const char *program = NULL, *other = NULL;
	size_t i = 1;
	bool starts = false;

	for (; i < words->count && words->word[i][0] == '-'; i++) {
		const char *word = words->word[i], *equals = strchr(word, '=');
		const char *value = i + 1 < words->count ? words->word[i + 1] : NULL;
		size_t taken;

		if (!strcmp(word, "--")) {
			i++;
			break;
		}
		if (word[1] == '-' && equals)
			value = equals + 1;
		if (!strcmp(word, "-x") || !strncmp(word, "--exec", 6))
			program = value;
		else if (!strcmp(word, "-a") || !strncmp(word, "--startas", 9))
			other = value;
		else if (!strcmp(word, "-S") || !strcmp(word, "--start"))
			starts = true;
		else if (!strcmp(word, "-r") || !strncmp(word, "--chroot", 8) ||
		         !strcmp(word, "-d") || !strncmp(word, "--chdir", 7))
			return unknown(wrapping, "changes the root or the working directory");
		taken = option_words(wrapper, words, i);
		if (taken == 0)
			return unknown(wrapping, "has an option that is not known here");
		i += taken - 1;
	}
	if (other)
		program = other;
	if (!starts || !program)
		return WRAPPER_NONE;
	(void)words_replace(words, i, &program, 1);
	return WRAPPER_FOLLOWED;
}

static enum wrapper_answer follow_elsewhere(
        const struct wrapper *wrapper, struct words *words, struct wrapping *wrapping)
{
	(void)wrapper;
	(void)words;
	(void)wrapping;
	return WRAPPER_ELSEWHERE;
}

static const struct wrapper wrappers[] = {
        {.name = "env",
                .flags = "0v",
                .valued = "u",
                .long_valued = " unset ",
                .follow = follow_env},
        {.name = "nice", .valued = "n", .long_valued = " adjustment "},
        {.name = "nohup"},
        {.name = "setsid", .flags = "cfw"},
        {.name = "stdbuf", .valued = "ioe", .long_valued = " input output error "},
        {.name = "timeout",
                .flags = "v",
                .valued = "ks",
                .long_valued = " kill-after signal ",
                .operands = 1},
        {.name = "ionice",
                .flags = "t",
                .valued = "cnpPu",
                .long_valued = " class classdata pid pgid uid "},
        {.name = "chrt",
                .flags = "abdfimorRv",
                .valued = "TPD",
                .operands = 1,
                .long_valued = " sched-runtime sched-period sched-deadline "},
        {.name = "taskset", .flags = "ac", .operands = 1},
        {.name = "prlimit", .valued = "po", .long_valued = " pid output "},
        {.name = "setpriv",
                .flags = "d",
                .long_valued = " ambient-caps inh-caps bounding-set ruid euid reuid rgid egid "
                               "regid groups securebits pdeathsig selinux-label "
                               "apparmor-profile "},
        {.name = "unshare",
                .flags = "imnupUCTfrc",
                .valued = "SG",
                .long_valued = " setuid setgid propagation setgroups map-user map-group "
                               "map-users map-groups monotonic boottime "},
        {.name = "numactl",
                .flags = "al",
                .valued = "CiNmpP",
                .long_valued = " interleave cpunodebind physcpubind membind preferred "},
        {.name = "flock",
                .flags = "senuFox",
                .valued = "wE",
                .operands = 1,
                .once = "lets the next one in only when the lock is free",
                .long_valued = " timeout wait conflict-exit-code "},
        {.name = "cgexec", .valued = "g"},
        {.name = "tini", .flags = "gsvw", .valued = "pe"},
        {.name = "tini-static", .flags = "gsvw", .valued = "pe"},
        {.name = "dumb-init", .flags = "cv", .valued = "r", .long_valued = " rewrite "},
        {.name = "authbind", .long_valued = " depth "},
        {.name = "fakeroot", .flags = "u", .valued = "lfsib", .long_valued = " lib faked fd-base "},
        {.name = "chpst", .flags = "vVP012", .valued = "uUbenlLmdofprstcC"},
        {.name = "softlimit", .valued = "acdflmoprst"},
        {.name = "envdir", .operands = 1},
        {.name = "envuidgid", .operands = 1},
        {.name = "setuidgid", .operands = 1},
        {.name = "gosu", .operands = 1},
        {.name = "su-exec", .operands = 1},
        {.name = "chroot", .long_valued = " groups userspec ", .follow = follow_chroot},
        {.name = "capsh", .follow = follow_capsh},
        {.name = "su",
                .flags = "lpmfPT",
                .valued = "gGw",
                .guesses = true,
                .long_valued = " group supp-group whitelist-environment ",
                .follow = follow_su},
        {.name = "runuser",
                .flags = "lpmfPT",
                .valued = "gGw",
                .guesses = true,
                .long_valued = " group supp-group whitelist-environment ",
                .follow = follow_su},
        {.name = "sudo",
                .flags = "AbEHknPSB",
                .valued = "CghpTu",
                .clears = true,
                .guesses = true,
                .long_valued = " user group close-from host prompt command-timeout ",
                .follow = follow_sudo},
        {.name = "start-stop-daemon",
                .flags = "SKTHVotqbvCm",
                .valued = "paxunscgkINPROdr",
                .long_valued = " exec startas pidfile user name signal chuid group umask "
                               "iosched nicelevel procsched retry output ppid pid ",
                .once = "starts nothing while the program it finds runs",
                .follow = follow_start_stop_daemon},
        {.name = "systemd-run", .follow = follow_elsewhere},
        {.name = "busybox", .follow = follow_busybox},
        {.name = "ash", .follow = follow_shell},
        {.name = "bash", .follow = follow_shell},
        {.name = "dash", .follow = follow_shell},
        {.name = "ksh", .follow = follow_shell},
        {.name = "mksh", .follow = follow_shell},
        {.name = "sh", .follow = follow_shell},
        {.name = "zsh", .follow = follow_shell},
};

enum wrapper_answer wrapper_follow(struct words *words, struct wrapping *wrapping)
{
	const char *name = path_base(words->word[0]);

	wrapping->clears = false;
	wrapping->is_applet = false;
	wrapping->once = NULL;
	for (size_t i = 0; i < COUNT(wrappers); i++) {
		const struct wrapper *wrapper = &wrappers[i];

		if (strcmp(name, wrapper->name) != 0)
			continue;
		wrapping->clears = wrapper->clears;
		wrapping->once = wrapper->once;
		wrapping->guesses = wrapping->guesses || wrapper->guesses;
		return (wrapper->follow ? wrapper->follow : follow_plain)(wrapper, words, wrapping);
	}
	return WRAPPER_NONE;
}
