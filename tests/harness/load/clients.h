/* SPDX-License-Identifier: MIT */
/*
 * The clients, of which each is one connection: their start, the events of their sockets, their deadlines.  The
 * persistent ones are opened and closed together.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/harness/load/connection.h"

/* Must be called first: the epoll instance that reports the events. */
void clients_init(int epoll_fd);

void client_start(bool is_persistent);
void client_step(struct connection *c, uint32_t events);

void persistent_open(void);

/* Each is closed after the answer it waits for. */
void persistent_close(void);

/* Deadlines, full queues, and the requests that are due on persistent connections. */
void clients_tick(void);
