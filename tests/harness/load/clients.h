/* SPDX-License-Identifier: MIT */
/*
 * Starts the clients, and handles the events of their sockets and their deadlines.  Each client is
 * one connection.  All persistent clients are opened together and closed together.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/harness/load/connection.h"

/* Must be called first.  `epoll_fd` is the epoll instance that reports the events. */
void clients_init(int epoll_fd);

void client_start(bool is_persistent);
void client_step(struct connection *c, uint32_t events);

void persistent_open(void);

/* Closes each persistent connection after the answer that it waits for. */
void persistent_close(void);

/* Handles deadlines, tries full queues again, and sends due requests on persistent connections. */
void clients_tick(void);
