/* SPDX-License-Identifier: MIT */
/*
 * Closes many descriptors at once, in a forked child that must not keep what the launcher has open.
 *
 * On kernels without close_range() (before Linux 5.9), and under a system call filter that forbids
 * it, the descriptors are closed one by one.
 */
#pragma once

/* Closes all descriptors from number `first` on. */
void close_from(int first);

/* The same, but keeps `one` and `other` (-1: none). */
void close_all_but(int first, int one, int other);
