/* SPDX-License-Identifier: MIT */
/* Rows of the kernel's list of sockets. */
#include "helper/kernel/diag_rows.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/base/util.h"

void diag_rows_deinit(struct diag_rows *rows)
{
	free(rows->rows);
	*rows = (struct diag_rows){0};
}

int diag_rows_add(struct diag_rows *rows, const struct diag_row *row)
{
	struct diag_row *larger =
	        array_grow(rows->rows, rows->count, &rows->allocated, sizeof(*row));

	if (!larger)
		return -ENOMEM;
	rows->rows = larger;
	rows->rows[rows->count++] = *row;
	return 0;
}
