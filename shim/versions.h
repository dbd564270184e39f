/* SPDX-License-Identifier: MIT */
/*
 * Binds libc's symbols to their oldest versions, so that a library built on a newer glibc loads
 * with glibc 2.31.  musl ignores versions.  The Makefile includes this file in front of every file
 * of the shim.  dlsym moved from libdl to libc in glibc 2.34 and has a new version there.  memcpy
 * is listed because compilers emit calls to memcpy on their own.
 */
#pragma once

#if defined(__x86_64__)
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
__asm__(".symver memcpy,memcpy@GLIBC_2.2.5");
#endif
