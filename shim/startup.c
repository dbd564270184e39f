/* SPDX-License-Identifier: MIT */
/*
 * The library's constructor.  If the environment has MOULT, the process joins the generation that
 * MOULT names; otherwise the library stays inert.
 */
#include <stddef.h>

#include "shim/contract.h"
#include "shim/environment.h"
#include "shim/gate.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/member_join.h"
#include "shim/real.h"

/* The launcher reads this in the file (helper/process/preload.h). */
__attribute__((used)) static const char contract_text[] = MOULT_CONTRACT_TEXT;

/* musl passes no arguments to constructors, so the environment is read from `environ`. */
__attribute__((constructor)) static void startup(void)
{
	real_resolve();
	const char *variable = environment_take();
	if (!variable)
		return;
	member_join(variable);
	if (member_board) {
		gate_start();
		listener_inherit();
	}
}
