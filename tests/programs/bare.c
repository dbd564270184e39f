/* SPDX-License-Identifier: MIT */
/*
 * Executes its arguments without what moult has put into the environment.  Built without a loader,
 * so that nothing is preloaded into it: a process of the daemon that libmoult.so has no part in.
 *
 *   bare PROGRAM [ARG...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **words)
{
	unsetenv("LD_PRELOAD");
	unsetenv("MOULT");
	if (count > 1)
		execv(words[1], words + 1);
	perror("bare");
	return 1;
}
