/* SPDX-License-Identifier: MIT */
/* Headers, segments and dynamic section of an ELF file. Every offset in the file may be wrong. */
#include "helper/check/elf.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/util.h"

enum {
	/* A file with more of them is read up to here */
	SECTIONS_MAX = 4096,
	NOTES_MAX = 64 * 1024,
	DYNAMIC_MAX = 1024,
	NAMES_MAX = 16 * 1024 * 1024,
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_ORDER ELFDATA2LSB
#else
#define OUR_ORDER ELFDATA2MSB
#endif
#if UINTPTR_MAX > UINT32_MAX
#define OUR_CLASS ELFCLASS64
#else
#define OUR_CLASS ELFCLASS32
#endif

static void read_loader(struct file *file, const ElfW(Phdr) * segment, struct elf *elf)
{
	char loader[PATH_MAX] = "";

	if (segment->p_filesz < 2 || segment->p_filesz > sizeof(loader) ||
	        !file_read(file, segment->p_offset, loader, segment->p_filesz)) {
		/* The kernel refuses the file; in any case it is not static */
		(void)snprintf(elf->loader, sizeof(elf->loader), "?");
		return;
	}
	loader[sizeof(loader) - 1] = '\0';
	(void)snprintf(elf->loader, sizeof(elf->loader), "%s", *loader ? loader : "?");
}

bool elf_segment(struct file *file, const struct elf *elf, size_t index, ElfW(Phdr) * ret_segment)
{
	uint64_t offset = elf->header.e_phoff;

	return index < elf->header.e_phnum && index < ELF_SEGMENTS_MAX && offset <= file->size &&
	       file_read(file, offset + index * sizeof(*ret_segment), ret_segment,
	               sizeof(*ret_segment));
}

/* The offset in the file of an address of the program; 0: not in the file. */
static uint64_t offset_of(struct file *file, const struct elf *elf, uint64_t address)
{
	ElfW(Phdr) segment;

	for (size_t i = 0; elf_segment(file, elf, i, &segment); i++)
		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
		        address - segment.p_vaddr < segment.p_filesz)
			return segment.p_offset + (address - segment.p_vaddr);
	return 0;
}

/* One entry of the dynamic section; false: there are no more. */
static bool dynamic_entry(
        struct file *file, const ElfW(Phdr) * segment, size_t index, ElfW(Dyn) * ret_entry)
{
	return index < segment->p_filesz / sizeof(*ret_entry) && index < DYNAMIC_MAX &&
	       segment->p_offset <= file->size &&
	       file_read(file, segment->p_offset + index * sizeof(*ret_entry), ret_entry,
	               sizeof(*ret_entry)) &&
	       ret_entry->d_tag != DT_NULL;
}

static void read_dynamic(struct file *file, const ElfW(Phdr) * segment, struct elf *elf)
{
	ElfW(Dyn) entry;

	for (size_t i = 0; dynamic_entry(file, segment, i, &entry); i++) {
		if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE))
			elf->is_pie = true;
		else if (entry.d_tag == DT_SONAME)
			elf->is_library = true;
		else if (entry.d_tag == DT_STRTAB)
			elf->strings = offset_of(file, elf, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_SYMTAB)
			elf->symbols = offset_of(file, elf, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_STRSZ)
			elf->strings_size = entry.d_un.d_val;
	}
}

bool elf_needed(struct file *file, const struct elf *elf, size_t index, char *name, size_t size)
{
	ElfW(Phdr) segment = {0};
	ElfW(Dyn) entry;
	size_t at = 0;

	while (elf_segment(file, elf, at, &segment) && segment.p_type != PT_DYNAMIC)
		at++;
	if (at >= elf->header.e_phnum || segment.p_type != PT_DYNAMIC || !elf->strings)
		return false;
	for (size_t i = 0; dynamic_entry(file, &segment, i, &entry); i++) {
		uint64_t left;

		if (entry.d_tag != DT_NEEDED || index-- > 0)
			continue;
		if (entry.d_un.d_val >= elf->strings_size)
			return false;
		left = elf->strings_size - entry.d_un.d_val;
		if (left > size)
			left = size;
		if (!file_read(file, elf->strings + entry.d_un.d_val, name, (size_t)left))
			return false;
		name[left - 1] = '\0';
		return true;
	}
	return false;
}

/*
 * The number of symbols is in the hash tables only.  Instead we read up to the strings: linkers put
 * them right behind the symbols.
 */
void elf_imports(struct file *file, const struct elf *elf,
        void (*found)(const char *name, void *context), void *context)
{
	size_t size = elf->strings_size < NAMES_MAX ? (size_t)elf->strings_size : NAMES_MAX;
	CLEANUP(string_free) char *names = NULL;
	ElfW(Sym) symbols[256];
	uint64_t at = elf->symbols;

	if (!elf->symbols || elf->symbols >= elf->strings)
		return;
	names = malloc(size + 1);
	if (!names || !file_read(file, elf->strings, names, size))
		return;
	names[size] = '\0';
	while (elf->strings - at >= sizeof(*symbols)) {
		uint64_t left = (elf->strings - at) / sizeof(*symbols);
		size_t count = left < COUNT(symbols) ? (size_t)left : COUNT(symbols);

		if (!file_read(file, at, symbols, count * sizeof(*symbols)))
			return;
		at += count * sizeof(*symbols);
		for (size_t i = 0; i < count; i++)
			if (symbols[i].st_shndx == SHN_UNDEF && symbols[i].st_name < size)
				found(names + symbols[i].st_name, context);
	}
}

/* A note of the owner "Go" is Go's build id. Stripped programs have it, too. */
static bool notes_have_go(struct file *file, const ElfW(Phdr) * segment)
{
	uint64_t start = segment->p_offset, end = segment->p_filesz;
	uint64_t align = segment->p_align == 8 ? 8 : 4, at = 0;

	if (start > file->size)
		return false;
	if (end > NOTES_MAX)
		end = NOTES_MAX;
	while (at < end && end - at >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) note;
		char owner[4];

		if (!file_read(file, start + at, &note, sizeof(note)))
			return false;
		if (note.n_namesz == sizeof(owner) &&
		        file_read(file, start + at + sizeof(note), owner, sizeof(owner)) &&
		        !memcmp(owner, "Go\0", sizeof(owner)))
			return true;
		/* Lengths have 32 bits, so the sums do not overflow */
		at += sizeof(note) + (uint64_t)note.n_namesz;
		at = (at + align - 1) / align * align;
		at += note.n_descsz;
		at = (at + align - 1) / align * align;
	}
	return false;
}

/* False: the table is cut off or of a wrong size, and the kernel refuses the program. */
static bool read_segments(struct file *file, struct elf *elf)
{
	ElfW(Phdr) segment;

	if (elf->header.e_phentsize != sizeof(segment))
		return false;
	for (size_t i = 0; i < elf->header.e_phnum && i < ELF_SEGMENTS_MAX; i++) {
		if (!elf_segment(file, elf, i, &segment))
			return false;
		if (segment.p_type == PT_INTERP && !*elf->loader)
			read_loader(file, &segment, elf);
		else if (segment.p_type == PT_DYNAMIC)
			read_dynamic(file, &segment, elf);
		else if (segment.p_type == PT_NOTE && notes_have_go(file, &segment))
			elf->is_go = true;
	}
	return true;
}

static bool read_section(
        struct file *file, const struct elf *elf, size_t index, ElfW(Shdr) * ret_section)
{
	uint64_t offset = elf->header.e_shoff;

	return offset <= file->size && file_read(file, offset + index * sizeof(*ret_section),
	                                       ret_section, sizeof(*ret_section));
}

/* Go's linker makes these sections, and strip leaves them. */
static bool sections_have_go(struct file *file, const struct elf *elf)
{
	static const char *const names[] = {".go.buildinfo", ".note.go.buildid"};
	ElfW(Shdr) section, strings;
	size_t count = elf->header.e_shnum, index = elf->header.e_shstrndx;

	if (elf->header.e_shentsize != sizeof(section) || elf->header.e_shoff == 0 ||
	        !read_section(file, elf, 0, &section))
		return false;
	/* A number that is too large for the header is in the first section */
	if (count == 0)
		count = section.sh_size < SECTIONS_MAX ? (size_t)section.sh_size : SECTIONS_MAX;
	if (index == SHN_XINDEX)
		index = section.sh_link;
	if (!read_section(file, elf, index, &strings) || strings.sh_offset > file->size)
		return false;
	for (size_t i = 1; i < count && i < SECTIONS_MAX; i++) {
		if (!read_section(file, elf, i, &section))
			return false;
		for (size_t k = 0; k < COUNT(names); k++) {
			char name[32];
			size_t size = strlen(names[k]) + 1;
			uint64_t at = strings.sh_offset + (uint64_t)section.sh_name;

			if (section.sh_name < strings.sh_size && file_read(file, at, name, size) &&
			        !memcmp(name, names[k], size))
				return true;
		}
	}
	return false;
}

static bool read_header(struct file *file, ElfW(Ehdr) * header)
{
	return file_read(file, 0, header, sizeof(*header)) &&
	       !memcmp(header->e_ident, ELFMAG, SELFMAG);
}

/* Is it for our processor? The header of our own file has the processor's number. */
static bool is_native(const ElfW(Ehdr) * header)
{
	struct file file;
	ElfW(Ehdr) own;
	bool native;

	if (header->e_ident[EI_CLASS] != OUR_CLASS || header->e_ident[EI_DATA] != OUR_ORDER)
		return false;
	if (file_open(&file, "/proc/self/exe") < 0)
		return true;
	native = !read_header(&file, &own) || own.e_machine == header->e_machine;
	file_close(&file);
	return native;
}

enum elf_kind elf_read(struct file *file, struct elf *elf)
{
	*elf = (struct elf){0};
	if (!read_header(file, &elf->header))
		return ELF_CUT;
	if (!is_native(&elf->header))
		return ELF_FOREIGN;
	if (elf->header.e_type != ET_EXEC && elf->header.e_type != ET_DYN)
		return ELF_OTHER;
	if (!read_segments(file, elf))
		return ELF_CUT;
	elf->is_go = elf->is_go || sections_have_go(file, elf);
	elf->is_static =
	        !*elf->loader && !(elf->header.e_type == ET_DYN && elf->is_library && !elf->is_pie);
	return ELF_PROGRAM;
}
