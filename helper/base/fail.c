/* SPDX-License-Identifier: MIT */
/* How an operator's command reports its own failure. */
#include "helper/base/fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail(int status, const char *format, ...)
{
	va_list arguments;

	(void)fflush(stdout);
	(void)fputs("moult: ", stderr);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
	return status;
}
