/* SPDX-License-Identifier: MIT */
/* Which programs get the shim's two variables. */
#include "shim/environment.h"

#include <limits.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <unistd.h>

#include "shim/contract.h"
#include "shim/heritage.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/sandbox.h"

#define PRELOAD "LD_PRELOAD"
#define LIBRARY "/libmoult.so"

static char variable[256]; /* "MOULT=..." */
static char library[PATH_MAX];

static size_t length_of(const char *text)
{
	size_t n = 0;
	while (text[n])
		n++;
	return n;
}

/* "NAME=value" -> value, or NULL when the name is another. */
static char *value_of(char *entry, const char *name)
{
	while (*name && *entry == *name)
		entry++, name++;
	return !*name && *entry == '=' ? entry + 1 : NULL;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	size_t n = length_of(end);
	if (length < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[length - n + i] != end[i])
			return false;
	return true;
}

static bool is_separator(char c)
{
	return c == ':' || c == ' ';
}

/* Erases a string where exec has put it: /proc/PID/environ shows that memory, also to children. */
static void erase(char *text)
{
	for (; *text; text++)
		*text = '\0';
}

/* Moves our library from `list` to `library`.  Returns false if `list` is empty then. */
static bool preload_take(char *list)
{
	char *out = list;
	for (char *in = list; *in;) {
		size_t length = 0;
		while (in[length] && !is_separator(in[length]))
			length++;
		if (ends_with(in, length, LIBRARY) && length < sizeof(library)) {
			for (size_t i = 0; i < length; i++)
				library[i] = in[i];
			library[length] = '\0';
		} else if (length) {
			if (out != list)
				*out++ = ':';
			for (size_t i = 0; i < length; i++)
				*out++ = in[i];
		}
		in += length + (in[length] != '\0');
	}
	erase(out);
	return out != list;
}

static void remove_entry(char **entry)
{
	for (; *entry; entry++)
		entry[0] = entry[1];
}

const char *environment_take(void)
{
	char *ours = NULL;
	for (char **entry = environ; entry && *entry; entry++) {
		if (!value_of(*entry, MOULT_VARIABLE))
			continue;
		size_t length = length_of(*entry);
		if (length >= sizeof(variable))
			return NULL;
		for (size_t i = 0; i <= length; i++)
			variable[i] = (*entry)[i];
		ours = value_of(variable, MOULT_VARIABLE);
		erase(*entry);
		remove_entry(entry);
		break;
	}
	for (char **entry = environ; ours && entry && *entry; entry++) {
		char *list = value_of(*entry, PRELOAD);
		if (list && !preload_take(list)) {
			erase(*entry);
			remove_entry(entry);
		}
		if (list)
			break;
	}
	return ours;
}

static bool may_follow(void)
{
	return member_board && library[0] && !sandbox_denies_joining();
}

bool environment_follows(void)
{
	return may_follow() && (!listener_known() || member_has_served() || heritage_of_exec());
}

bool environment_follows_spawn(const posix_spawn_file_actions_t *actions)
{
	return may_follow() && (!listener_known() || heritage_of_spawn(actions));
}

static size_t entries(char *const environment[])
{
	size_t n = 0;
	while (environment && environment[n])
		n++;
	return n;
}

static char *find(char *const environment[], const char *name)
{
	for (size_t i = 0; environment && environment[i]; i++)
		if (value_of(environment[i], name))
			return environment[i];
	return NULL;
}

size_t environment_room(char *const environment[])
{
	char *preload = find(environment, PRELOAD);
	return (entries(environment) + 3) * sizeof(char *) + sizeof(PRELOAD) + 2 +
	       length_of(library) + (preload ? length_of(preload) : 0);
}

char **environment_extend(void *room, char *const environment[])
{
	size_t count = entries(environment), out = 0;
	char **list = room;
	char *text = (char *)(list + count + 3);
	char *preload = find(environment, PRELOAD);
	for (size_t i = 0; i < count; i++) /* ours replaces the daemon's own LD_PRELOAD */
		if (environment[i] == preload)
			list[out++] = text;
		else if (!value_of(environment[i], MOULT_VARIABLE))
			list[out++] = environment[i];
	if (!preload)
		list[out++] = text;
	const char *start = preload ? preload : PRELOAD "=";
	while (*start)
		*text++ = *start++;
	if (text[-1] != '=')
		*text++ = ':';
	for (const char *c = library; *c; c++)
		*text++ = *c;
	*text = '\0';
	list[out++] = variable;
	list[out] = NULL;
	return list;
}

/*
 * Holds the lent list.  It is not on the borrower's stack, because a thread that is cancelled in
 * system() never calls environment_reclaim().  `environ` then stays valid, with all of the
 * program's entries.
 */
static alignas(char *) char lent[32768];
static _Atomic bool is_lent;
static char *replaced; /* the program's own LD_PRELOAD entry, absent from the lent list; or NULL */

bool environment_lend(char ***ret_before)
{
	if (!may_follow() || listener_known() || member_is_borrowed() ||
	        environment_room(environ) > sizeof(lent) || atomic_exchange(&is_lent, true))
		return false;
	*ret_before = environ;
	replaced = find(environ, PRELOAD);
	environ = environment_extend(lent, environ);
	return true;
}

static bool is_lent_entry(const char *entry)
{
	return entry == variable || (entry >= lent && entry < lent + sizeof(lent));
}

/* Copies a list without lent entries, and puts the program's own LD_PRELOAD back. */
static void list_clean(char **to, char *const *from)
{
	for (; *from; from++)
		if (!is_lent_entry(*from))
			*to++ = *from;
		else if (replaced && *from != variable)
			*to++ = replaced;
	*to = NULL;
}

/*
 * Another thread may have called setenv() meanwhile.  setenv() has then either copied the list, and
 * perhaps freed `before`, or changed an entry of the lent list in place.
 */
void environment_reclaim(char **before)
{
	if (environ != (char **)lent)
		before = environ;
	if (before)
		list_clean(before, environ);
	environ = before;
	atomic_store(&is_lent, false);
}
