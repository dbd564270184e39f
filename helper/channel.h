/* SPDX-License-Identifier: MIT */
/*
 * The launcher's end of the contract: what processes of a generation ask (shim/contract.h).
 *
 * Who asks is checked by the kernel's word (SO_PEERCRED, a descendant of the generation's keeper)
 * and the generation's token, what it sends by looking at the descriptor itself.
 */
#pragma once

#include "helper/instance.h"

/* Chooses and binds instance->channel_address. 0 or -errno. */
int channel_start(struct instance *instance);
void channel_stop(void);
