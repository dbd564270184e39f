/* SPDX-License-Identifier: MIT */
/*
 * The words of an fd_set.  The type has a fixed size in the header, but programs pass sets of any
 * size.
 */
#pragma once

#include <stddef.h>

typedef unsigned long set_word;
enum { SET_WORD_BITS = 8 * sizeof(set_word) };

static inline size_t set_words(int count)
{
	return ((size_t)count + SET_WORD_BITS - 1) / SET_WORD_BITS;
}
