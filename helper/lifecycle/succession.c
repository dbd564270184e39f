/* SPDX-License-Identifier: MIT */
/* --no-overlap: which program is started next. */
#include "helper/lifecycle/succession.h"

#include <fcntl.h>

#include "helper/process/program.h"

int succession_init(
        struct succession *succession, const struct settings *wanted, struct generation *former)
{
	*succession =
	        (struct succession){.yielded = true, .former_program = -1, .vacant_since = now()};
	int result = settings_copy(&succession->wanted, wanted);
	if (result < 0 || !former)
		return result;
	result = settings_copy(&succession->former, &former->settings);
	if (result < 0)
		return result;
	succession->former_id = former->id;
	succession->former_program = former->program;
	former->program = -1;
	return 0;
}

void succession_deinit(struct succession *succession)
{
	settings_deinit(&succession->wanted);
	settings_deinit(&succession->former);
	fd_close(&succession->former_program);
	*succession = (struct succession)SUCCESSION_NONE;
}

int succession_program(const struct succession *succession, const char *name, bool *ret_replaced)
{
	*ret_replaced =
	        succession->returns && program_is_replaced(succession->former_program, name);
	if (*ret_replaced)
		return fcntl(succession->former_program, F_DUPFD_CLOEXEC, 3);
	return program_keep(name);
}
