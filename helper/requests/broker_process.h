/* SPDX-License-Identifier: MIT */
/*
 * The broker's process: its start, its watch and its replacement.
 *
 * The launcher has one broker (helper/requests/broker.h).  A broker that ends, or that takes longer
 * than a second for one message, is replaced.
 */
#pragma once

#include "helper/requests/broker.h"
#include "helper/state/instance.h"

/*
 * Starts a broker that accepts on `socket`, and another one whenever it ends.  `ready` is called
 * with the instance when the broker has sent something, or has ended.
 */
void broker_process_start(
        struct instance *instance, struct roster *roster, int socket, void (*ready)(void *context));

/* Ends the broker and starts no other one. */
void broker_process_stop(void);

/* In a child of the launcher: the child may not write to the roster, unless it is the broker. */
void broker_process_unmap(void);

/* The socket to the broker; -1: there is no broker just now. */
int broker_process_link(void);

/* Kills the broker without waiting for its end, and starts another one after a pause. */
void broker_process_abandon(void);

/*
 * Call when a process has connected to the broker's socket.  From then on the launcher watches how
 * long the broker takes, until the broker is idle.
 */
void broker_process_expect_work(void);

/*
 * Call when a child of the launcher has ended.  True: it was a broker, the present or an earlier
 * one.
 */
bool broker_process_reaped(pid_t pid);
