/* SPDX-License-Identifier: MIT */
/*
 * A program's file, judged by the parts of it that decide whether LD_PRELOAD works.
 *
 * It is read with pread() and never mapped: a file that shrinks meanwhile would be a SIGBUS.  Only
 * files of our own class and byte order are looked into; in any other the library cannot be loaded
 * anyway.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "helper/inspect.h"
#include "helper/util.h"

enum {
	SCRIPTS_MAX = 4,
	HEAD = 256, /* as much of the first line as the kernel reads */
	/* More than these is no program we know how to judge */
	SEGMENTS_MAX = 65536 / sizeof(ElfW(Phdr)), /* the kernel's own limit */
	SECTIONS_MAX = 4096,
	NOTES_MAX = 64 * 1024,
	DYNAMIC_MAX = 1024,
	/* In all: a file made to be slow ends here, and counts as what was seen of it */
	READS_MAX = 32 * 1024,
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

struct file {
	int fd;
	uint64_t size;
	unsigned reads; /* so far */
};

/* What is wanted to know of an ELF file. */
struct elf {
	ElfW(Ehdr) header;
	char loader[PATH_MAX]; /* empty: none */
	bool is_pie;
	bool is_library; /* has a name as a library: the loader itself, run as a program */
	bool is_go;
};

/* What a sentence to the operator is about. */
struct subject {
	const char *asked; /* what he wants to run */
	const char *judged;
	char *reason;
	size_t size;
};

static void explain(const struct subject *subject, const char *what)
{
	if (strcmp(subject->asked, subject->judged) != 0)
		(void)snprintf(subject->reason, subject->size, "%s is run by %s, which %s",
		        subject->asked, subject->judged, what);
	else
		(void)snprintf(subject->reason, subject->size, "%s %s", subject->judged, what);
}

/* All of it or nothing. */
static bool file_read(struct file *file, uint64_t offset, void *data, size_t size)
{
	size_t done = 0;

	if (offset > file->size || size > file->size - offset || file->reads++ >= READS_MAX)
		return false;
	while (done < size) {
		ssize_t n =
		        pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* ---- looking up, as execvp does ---- */

/* 0 when the kernel would try to execute it. */
static int check_executable(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int find_in_path(const char *name, char *path, size_t size)
{
	const char *directories = getenv("PATH");
	int r = -ENOENT;

	if (!directories)
		directories = "/bin:/usr/bin";
	for (const char *start = directories;; start++) {
		size_t length = strcspn(start, ":");
		int n, tried;

		/* An empty one is the working directory */
		n = snprintf(
		        path, size, "%.*s%s%s", (int)length, start, length > 0 ? "/" : "", name);
		tried = n < 0 || (size_t)n >= size ? -ENAMETOOLONG : check_executable(path);
		if (tried == 0)
			return 0;
		if (tried == -EACCES)
			r = -EACCES;
		start += length;
		if (!*start)
			return r;
	}
}

static int find_program(const char *name, bool search, char *path, size_t size)
{
	if (!*name)
		return -ENOENT;
	if (search && !strchr(name, '/'))
		return find_in_path(name, path, size);
	if (strlen(name) >= size)
		return -ENAMETOOLONG;
	(void)snprintf(path, size, "%s", name);
	return check_executable(path);
}

int inspect_find(const char *program, char *path, size_t size)
{
	return find_program(program, true, path, size);
}

/* ---- scripts ---- */

static char *skip_blanks(char *text)
{
	return text + strspn(text, " \t");
}

/* Takes the word in front off *text. */
static char *next_word(char **text)
{
	char *word = skip_blanks(*text);
	char *end = word + strcspn(word, " \t");

	*text = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

static bool is_env(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, "env");
}

/*
 * What "#!/usr/bin/env ..." runs.  The kernel passes all after env as one word; "-S" makes env
 * split it.  NULL: too clever for us.
 */
static char *env_program(char *rest)
{
	rest = skip_blanks(rest);
	if (!strncmp(rest, "-S", 2)) {
		char *word;

		rest += 2;
		do
			word = next_word(&rest);
		while (strchr(word, '='));
		rest = word;
	}
	return *rest && *rest != '-' ? rest : NULL;
}

/*
 * From the first line of a script to the program that runs it, which is copied to `word`.
 * *ret_search: look it up in PATH.  False: the kernel would not take that line.
 */
static bool script_interpreter(const char *head, size_t length, char *word, bool *ret_search)
{
	char line[HEAD + 1], *rest = line, *interpreter, *program;
	size_t used = 0;
	bool ended;

	while (used + 2 < length && head[used + 2] != '\n' && head[used + 2] != '\0') {
		line[used] = head[used + 2];
		used++;
	}
	ended = used + 2 < length || length < HEAD;
	line[used] = '\0';
	while (used > 0 && (line[used - 1] == ' ' || line[used - 1] == '\t'))
		line[--used] = '\0';

	interpreter = skip_blanks(rest);
	/* A path that was cut off; cut arguments do no harm */
	if (!ended && !interpreter[strcspn(interpreter, " \t")])
		return false;
	interpreter = next_word(&rest);
	if (!*interpreter)
		return false;
	program = is_env(interpreter) ? env_program(rest) : NULL;
	*ret_search = program != NULL;
	(void)snprintf(word, HEAD + 1, "%s", program ? program : interpreter);
	return true;
}

/* ---- ELF ---- */

static void read_loader(struct file *file, const ElfW(Phdr) * segment, struct elf *elf)
{
	char loader[PATH_MAX] = "";

	if (segment->p_filesz < 2 || segment->p_filesz > sizeof loader ||
	        !file_read(file, segment->p_offset, loader, segment->p_filesz)) {
		/* The kernel will refuse it; it is not static in any case */
		(void)snprintf(elf->loader, sizeof elf->loader, "?");
		return;
	}
	loader[sizeof loader - 1] = '\0';
	(void)snprintf(elf->loader, sizeof elf->loader, "%s", *loader ? loader : "?");
}

static void read_dynamic(struct file *file, const ElfW(Phdr) * segment, struct elf *elf)
{
	size_t count = segment->p_filesz / sizeof(ElfW(Dyn));

	for (size_t i = 0; i < count && i < DYNAMIC_MAX; i++) {
		ElfW(Dyn) entry;
		uint64_t offset = segment->p_offset;

		if (offset > file->size ||
		        !file_read(file, offset + i * sizeof entry, &entry, sizeof entry))
			return;
		if (entry.d_tag == DT_NULL)
			return;
		if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE))
			elf->is_pie = true;
		if (entry.d_tag == DT_SONAME)
			elf->is_library = true;
	}
}

/* A note of the owner "Go": the build id, there in stripped programs too. */
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

		if (!file_read(file, start + at, &note, sizeof note))
			return false;
		if (note.n_namesz == sizeof owner &&
		        file_read(file, start + at + sizeof note, owner, sizeof owner) &&
		        !memcmp(owner, "Go\0", sizeof owner))
			return true;
		/* Lengths are 32 bits: these sums fit */
		at += sizeof note + (uint64_t)note.n_namesz;
		at = (at + align - 1) / align * align;
		at += note.n_descsz;
		at = (at + align - 1) / align * align;
	}
	return false;
}

/* False: the table is not there, and the kernel will refuse the program. */
static bool read_segments(struct file *file, struct elf *elf)
{
	uint64_t offset = elf->header.e_phoff;

	if (elf->header.e_phentsize != sizeof(ElfW(Phdr)) || offset > file->size)
		return false;
	for (size_t i = 0; i < elf->header.e_phnum && i < SEGMENTS_MAX; i++) {
		ElfW(Phdr) segment;

		if (!file_read(file, offset + i * sizeof segment, &segment, sizeof segment))
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

	return offset <= file->size && file_read(file, offset + index * sizeof *ret_section,
	                                       ret_section, sizeof *ret_section);
}

/* The sections Go's linker makes, which strip leaves. */
static bool sections_have_go(struct file *file, const struct elf *elf)
{
	static const char *const names[] = {".go.buildinfo", ".note.go.buildid"};
	ElfW(Shdr) section, strings;
	size_t count = elf->header.e_shnum, index = elf->header.e_shstrndx;

	if (elf->header.e_shentsize != sizeof section || elf->header.e_shoff == 0 ||
	        !read_section(file, elf, 0, &section))
		return false;
	/* Numbers too large for the header are in the first section */
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

static bool elf_read(struct file *file, struct elf *elf)
{
	*elf = (struct elf){0};
	return file_read(file, 0, &elf->header, sizeof elf->header) &&
	       !memcmp(elf->header.e_ident, ELFMAG, SELFMAG);
}

/* What processor we are made for: our own file says it. */
static bool is_native(const struct elf *elf)
{
	struct file file = {.size = sizeof(ElfW(Ehdr))};
	struct elf own;
	bool native;

	if (elf->header.e_ident[EI_CLASS] != OUR_CLASS || elf->header.e_ident[EI_DATA] != OUR_ORDER)
		return false;
	file.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (file.fd < 0)
		return true;
	native = !elf_read(&file, &own) || own.header.e_machine == elf->header.e_machine;
	close(file.fd);
	return native;
}

static int judge_elf(
        struct file *file, const struct subject *subject, enum inspect_verdict *ret_verdict)
{
	struct elf elf;

	if (!elf_read(file, &elf)) {
		explain(subject, "is cut short: it cannot be executed");
		*ret_verdict = INSPECT_FOREIGN;
		return 0;
	}
	if (!is_native(&elf)) {
		explain(subject, "is built for another kind of processor than the library: "
		                 "upgrades are not possible");
		*ret_verdict = INSPECT_FOREIGN;
		return 0;
	}
	if (elf.header.e_type != ET_EXEC && elf.header.e_type != ET_DYN) {
		explain(subject, "is not a program");
		*ret_verdict = INSPECT_FOREIGN;
		return 0;
	}
	if (!read_segments(file, &elf)) {
		explain(subject, "is cut short: it cannot be executed");
		*ret_verdict = INSPECT_FOREIGN;
		return 0;
	}
	if (elf.is_go || sections_have_go(file, &elf)) {
		explain(subject, "is written in Go, which does without the C library: it runs, but "
		                 "upgrades are not possible");
		*ret_verdict = INSPECT_GO;
		return 0;
	}
	if (!*elf.loader && !(elf.header.e_type == ET_DYN && elf.is_library && !elf.is_pie)) {
		explain(subject,
		        "is statically linked: the library cannot be loaded into it; it runs, but "
		        "upgrades are not possible");
		*ret_verdict = INSPECT_STATIC;
		return 0;
	}
	if (*elf.loader && access(elf.loader, F_OK) < 0 && errno == ENOENT) {
		explain(subject, "needs a loader that is not installed");
		return -ENOENT;
	}
	*ret_verdict = INSPECT_FINE;
	return 0;
}

/* ---- privileges ---- */

/* Does running it change who we are?  Then the loader takes no LD_PRELOAD from us. */
static bool changes_privileges(int fd, const char *path, const struct stat *status)
{
	struct statvfs system;
	bool set_uid = (status->st_mode & S_ISUID) && status->st_uid != getuid();
	/* Without the group's execute bit it meant mandatory locking */
	bool set_gid = (status->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
	               status->st_gid != getgid();
	ssize_t capabilities;

	if ((fd >= 0 ? fstatvfs(fd, &system) : statvfs(path, &system)) == 0 &&
	        (system.f_flag & ST_NOSUID))
		return false;
	if ((set_uid || set_gid) && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return true;
	/* root has them all already */
	if (getuid() == 0)
		return false;
	capabilities = fd >= 0 ? fgetxattr(fd, "security.capability", NULL, 0)
	                       : getxattr(path, "security.capability", NULL, 0);
	return capabilities > 0;
}

/* ---- all together ---- */

/*
 * Looks into one file.  1: a script, and `word` and *search are what runs it; 0: *ret_verdict;
 * -errno.
 */
static int judge(
        const struct subject *subject, char *word, bool *search, enum inspect_verdict *ret_verdict)
{
	CLEANUP(fd_close)
	int fd = open(subject->judged, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct file file = {.fd = fd};
	struct stat status;
	char head[HEAD];
	size_t length;
	bool is_script;

	/* What may be executed but not read has its privileges only to be judged by */
	if (fd < 0 && errno != EACCES)
		return -errno;
	if ((fd >= 0 ? fstat(fd, &status) : stat(subject->judged, &status)) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	file.size = (uint64_t)status.st_size;
	length = file.size < sizeof head ? (size_t)file.size : sizeof head;
	if (fd >= 0 && !file_read(&file, 0, head, length))
		return -EIO;
	is_script = fd >= 0 && length > 2 && head[0] == '#' && head[1] == '!';

	if (is_script && script_interpreter(head, length, word, search))
		return 1;
	if (fd >= 0 && (length < SELFMAG || memcmp(head, ELFMAG, SELFMAG) != 0)) {
		/* The kernel refuses it, and execvp() hands it to the shell */
		if (memchr(head, '\0', length)) {
			explain(subject, "is not a program this system knows");
			*ret_verdict = INSPECT_FOREIGN;
			return 0;
		}
		(void)snprintf(word, HEAD + 1, "/bin/sh");
		*search = false;
		return 1;
	}
	if (changes_privileges(fd, subject->judged, &status)) {
		explain(subject, "is set-uid, set-gid or has file capabilities: the loader ignores "
		                 "the library; it runs, but upgrades are not possible");
		*ret_verdict = INSPECT_SECURE;
		return 0;
	}
	if (fd < 0) {
		*ret_verdict = INSPECT_FINE;
		return 0;
	}
	return judge_elf(&file, subject, ret_verdict);
}

int inspect_program(
        const char *program, enum inspect_verdict *ret_verdict, char *reason, size_t size)
{
	char asked[PATH_MAX], judged[PATH_MAX], word[HEAD + 1];
	struct subject subject = {asked, judged, reason, size};
	bool search = true;
	int r;

	if (size > 0)
		reason[0] = '\0';
	r = find_program(program, search, asked, sizeof asked);
	if (r < 0)
		return r;
	(void)snprintf(judged, sizeof judged, "%s", asked);
	for (int scripts = 0; scripts <= SCRIPTS_MAX; scripts++) {
		r = judge(&subject, word, &search, ret_verdict);
		if (r <= 0)
			return r;
		r = find_program(word, search, judged, sizeof judged);
		if (r < 0) {
			(void)snprintf(reason, size,
			        "%s is run by %s, which cannot be executed: %s", asked, word,
			        strerror(-r));
			return r;
		}
	}
	return -ELOOP;
}
