/* SPDX-License-Identifier: MIT */
/* --no-overlap: the program of the old generation. */
#include "helper/lifecycle/fallback.h"

#include <fcntl.h>

#include "helper/process/program.h"

int fallback_init(struct fallback *fallback, struct generation *old)
{
	*fallback = (struct fallback)FALLBACK_NONE;
	int result = settings_copy(&fallback->settings, &old->settings);
	if (result < 0)
		return result;
	fallback->id = old->id;
	fallback->program = old->program;
	old->program = -1;
	return 0;
}

void fallback_deinit(struct fallback *fallback)
{
	settings_deinit(&fallback->settings);
	fd_close(&fallback->program);
	*fallback = (struct fallback)FALLBACK_NONE;
}

int fallback_program(const struct fallback *fallback, const char *name, bool *ret_replaced)
{
	*ret_replaced = fallback->in_use && program_is_replaced(fallback->program, name);
	if (*ret_replaced)
		return fcntl(fallback->program, F_DUPFD_CLOEXEC, 3);
	return program_keep(name);
}
