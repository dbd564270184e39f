/* SPDX-License-Identifier: MIT */
/* fd_set is a fixed size in the header and any size in practice: words of the set, all of them. */
#pragma once

#include <stddef.h>

typedef unsigned long set_word;
enum { SET_WORD_BITS = 8 * sizeof(set_word) };

static inline size_t set_words(int count)
{
	return ((size_t)count + SET_WORD_BITS - 1) / SET_WORD_BITS;
}
