/* SPDX-License-Identifier: MIT */
/* Times, signals and names, as people write and read them. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "helper/base/units.h"

static const struct {
	const char *name;
	int number;
} known_signals[] = {
        {"HUP", SIGHUP},
        {"INT", SIGINT},
        {"QUIT", SIGQUIT},
        {"ILL", SIGILL},
        {"TRAP", SIGTRAP},
        {"ABRT", SIGABRT},
        {"BUS", SIGBUS},
        {"FPE", SIGFPE},
        {"KILL", SIGKILL},
        {"USR1", SIGUSR1},
        {"SEGV", SIGSEGV},
        {"USR2", SIGUSR2},
        {"PIPE", SIGPIPE},
        {"ALRM", SIGALRM},
        {"TERM", SIGTERM},
        {"CHLD", SIGCHLD},
        {"CONT", SIGCONT},
        {"STOP", SIGSTOP},
        {"TSTP", SIGTSTP},
        {"TTIN", SIGTTIN},
        {"TTOU", SIGTTOU},
        {"URG", SIGURG},
        {"XCPU", SIGXCPU},
        {"XFSZ", SIGXFSZ},
        {"VTALRM", SIGVTALRM},
        {"PROF", SIGPROF},
        {"WINCH", SIGWINCH},
        {"IO", SIGIO},
        {"PWR", SIGPWR},
        {"SYS", SIGSYS},
};

bool number_parse(const char *text, long least, long most, int *ret_number)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno || *end || number < least || number > most)
		return false;
	*ret_number = (int)number;
	return true;
}

/* Reads digits and moves *text behind them. -EINVAL: no digit, or the number is too large. */
static int digits_parse(const char **text, uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *c = *text;

	if (!isdigit((unsigned char)*c))
		return -EINVAL;
	for (; isdigit((unsigned char)*c); c++) {
		if (number > (UINT64_MAX - 9) / 10)
			return -EINVAL;
		number = number * 10 + (uint64_t)(*c - '0');
	}
	*text = c;
	*ret_number = number;
	return 0;
}

int duration_parse(const char *text, nanoseconds *ret_duration)
{
	static const struct {
		const char *name;
		uint64_t length;
	} units[] = {
	        {"ms", (uint64_t)MILLISECOND},
	        {"s", (uint64_t)SECOND},
	        {"m", 60 * (uint64_t)SECOND},
	        {"h", 3600 * (uint64_t)SECOND},
	};
	uint64_t whole, billionths = 0;

	if (!strcmp(text, "infinity")) {
		*ret_duration = NEVER;
		return 0;
	}
	if (digits_parse(&text, &whole) < 0)
		return -EINVAL;
	if (*text == '.') {
		uint64_t weight = UINT64_C(100000000);

		if (!isdigit((unsigned char)*++text))
			return -EINVAL;
		for (; isdigit((unsigned char)*text); text++, weight /= 10)
			billionths += weight * (uint64_t)(*text - '0');
	}
	for (size_t i = 0; i < COUNT(units); i++) {
		uint64_t length = units[i].length, fraction;

		if (strcmp(text, units[i].name) != 0)
			continue;
		/* Every unit is a multiple of 1e6 ns, and the product stays below 2^63 */
		fraction = billionths * (length / 1000000) / 1000;
		if (whole > ((uint64_t)NEVER - 1 - fraction) / length)
			return -EINVAL;
		*ret_duration = (nanoseconds)(whole * length + fraction);
		return 0;
	}
	return -EINVAL;
}

void duration_print(nanoseconds duration, char *text, size_t size)
{
	static const struct {
		const char *name;
		nanoseconds length;
	} units[] = {{"h", 3600 * SECOND}, {"min", 60 * SECOND}, {"s", SECOND}};

	if (duration == NEVER) {
		(void)snprintf(text, size, "no limit");
		return;
	}
	if (duration < 0)
		duration = 0;
	for (size_t i = 0; i < COUNT(units); i++) {
		long long tenths = duration / (units[i].length / 10);

		if (tenths < 10)
			continue;
		if (tenths % 10)
			(void)snprintf(text, size, "%lld.%lld %s", tenths / 10, tenths % 10,
			        units[i].name);
		else
			(void)snprintf(text, size, "%lld %s", tenths / 10, units[i].name);
		return;
	}
	(void)snprintf(text, size, "%lld ms", (long long)(duration / MILLISECOND));
}

int signal_parse(const char *text, int *ret_signal)
{
	const char *name = text;

	if (number_parse(text, 1, SIGRTMAX, ret_signal))
		return 0;
	if (!strncasecmp(name, "SIG", 3))
		name += 3;
	for (size_t i = 0; i < COUNT(known_signals); i++)
		if (!strcasecmp(name, known_signals[i].name)) {
			*ret_signal = known_signals[i].number;
			return 0;
		}
	if (!strncasecmp(name, "RTMIN", 5)) {
		int above = 0;

		if (name[5] &&
		        (name[5] != '+' || !number_parse(name + 6, 0, SIGRTMAX - SIGRTMIN, &above)))
			return -EINVAL;
		*ret_signal = SIGRTMIN + above;
		return 0;
	}
	return -EINVAL;
}

const char *signal_print(int signal, char *text, size_t size)
{
	for (size_t i = 0; i < COUNT(known_signals); i++)
		if (signal == known_signals[i].number) {
			(void)snprintf(text, size, "SIG%s", known_signals[i].name);
			return text;
		}
	if (signal >= SIGRTMIN && signal <= SIGRTMAX)
		(void)snprintf(text, size, "SIGRTMIN+%d", signal - SIGRTMIN);
	else
		(void)snprintf(text, size, "signal %d", signal);
	return text;
}

bool name_is_valid(const char *name)
{
	size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                             "0123456789._@-");

	return length > 0 && length <= 64 && !name[length] && name[0] != '.' && name[0] != '-';
}
