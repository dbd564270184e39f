/* SPDX-License-Identifier: MIT */
/* Why something cannot be done. */
#include "helper/unit/reason.h"

#include <stdarg.h>
#include <stdio.h>

int refuse(const struct reason *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(reason->text, reason->size, format, arguments);
	va_end(arguments);
	return -1;
}
