/* SPDX-License-Identifier: MIT */
/*
 * The oldest version of libc's symbols, included in front of every file of the shim: the library
 * built here must load on older releases (glibc 2.31); musl ignores versions.  dlsym moved from
 * libdl to libc in 2.34 under a new version, and compilers call memcpy on their own.
 */
#pragma once

#if defined(__x86_64__)
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
__asm__(".symver memcpy,memcpy@GLIBC_2.2.5");
#endif
