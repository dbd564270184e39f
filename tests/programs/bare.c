/* SPDX-License-Identifier: MIT */
/*
 * Removes LD_PRELOAD and MOULT from the environment and executes its arguments.  The tests link
 * this program statically, so that libmoult.so cannot be preloaded: the daemon then has a process
 * without the library.
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
