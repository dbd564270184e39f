/* SPDX-License-Identifier: MIT */
/* What `moult enable` and `moult disable` ask systemd to do. */
#pragma once

#include <stdbool.h>

/* systemctl daemon-reload.  Returns its exit status or -errno. */
int manage_reload(void);

/* systemctl restart.  Returns whether the unit runs. */
bool manage_restart(const char *id);

/* Is the unit's main process a moult? */
bool manage_is_moult(const char *id);
