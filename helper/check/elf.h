/* SPDX-License-Identifier: MIT */
/* How an ELF file is loaded. */
#pragma once

#include <elf.h>
#include <limits.h>
#include <link.h>

#include "helper/base/file.h"

enum elf_kind {
	ELF_PROGRAM,
	ELF_FOREIGN, /* for a processor, class or byte order other than ours */
	ELF_OTHER,   /* neither a program nor a library */
	ELF_CUT,     /* parts are missing: the kernel refuses the file */
};

enum { ELF_SEGMENTS_MAX = 65536 / sizeof(ElfW(Phdr)) /* the kernel's limit: 64 KiB */ };

struct elf {
	ElfW(Ehdr) header;
	char loader[PATH_MAX]; /* the loader's path; empty: none; "?": not readable */
	bool is_static;        /* needs no loader, and is not the loader itself */
	bool is_pie;
	bool is_library; /* has a library name (DT_SONAME): the loader itself, run as a program */
	bool is_go;
	uint64_t strings; /* offset (0: none) and size of the dynamic strings in the file */
	uint64_t strings_size;
	uint64_t symbols; /* offset of the dynamic symbols, 0: none */
};

/* Reads the headers. Only for ELF_PROGRAM more than elf->header is filled in. */
enum elf_kind elf_read(struct file *file, struct elf *elf);

/* The segment at this index; false: there is none. */
bool elf_segment(struct file *file, const struct elf *elf, size_t index, ElfW(Phdr) * ret_segment);

/* The name of needed library number `index` (DT_NEEDED), from 0; false: there are no more. */
bool elf_needed(struct file *file, const struct elf *elf, size_t index, char *name, size_t size);

/* Calls `found` for each dynamic symbol that the file imports. */
void elf_imports(struct file *file, const struct elf *elf,
        void (*found)(const char *name, void *context), void *context);
