/* SPDX-License-Identifier: MIT */
/* What an ELF file says about how it is loaded. */
#pragma once

#include <elf.h>
#include <limits.h>
#include <link.h>

#include "helper/base/file.h"

enum elf_kind {
	ELF_PROGRAM,
	ELF_FOREIGN, /* for another processor, class or byte order than ours */
	ELF_OTHER,   /* neither a program nor a library */
	ELF_CUT,     /* parts are missing: the kernel will refuse it */
};

enum { ELF_SEGMENTS_MAX = 65536 / sizeof(ElfW(Phdr)) /* the kernel's own limit */ };

struct elf {
	ElfW(Ehdr) header;
	char loader[PATH_MAX]; /* empty: none; "?": not to be read */
	bool is_static;        /* needs no loader, nor is it one itself */
	bool is_pie;
	bool is_library; /* has a name as a library: the loader itself, run as a program */
	bool is_go;
	uint64_t strings; /* offset and size of the dynamic strings in the file, 0: none */
	uint64_t strings_size;
	uint64_t symbols; /* offset of the dynamic symbols, 0: none */
};

/* Reads the headers.  Only files of our own kind are looked into further. */
enum elf_kind elf_read(struct file *file, struct elf *elf);

/* The segment at this index; false: there is none. */
bool elf_segment(struct file *file, const struct elf *elf, size_t index, ElfW(Phdr) * ret_segment);

/* The name of the library it needs as number `index`; false: there are no more. */
bool elf_needed(struct file *file, const struct elf *elf, size_t index, char *name, size_t size);

/* Calls `found` for each dynamic symbol that it wants from others. */
void elf_imports(struct file *file, const struct elf *elf,
        void (*found)(const char *name, void *context), void *context);
