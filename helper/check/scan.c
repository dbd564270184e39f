/* SPDX-License-Identifier: MIT */
/*
 * Searches a program's segments.
 *
 * There is no disassembler.  A system call is recognised by its instruction and, shortly before it,
 * an instruction that loads the number.  A call whose number comes from elsewhere is not seen, for
 * example inside a function like syscall() that has the number as argument.
 */
#include "helper/check/scan.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "helper/base/util.h"

enum {
	CHUNK = 64 * 1024,
	WINDOW = 32,                  /* bytes from the number to the call, at most */
	CODE_MAX = 256 * 1024 * 1024, /* bytes in all segments */
	STRINGS_MAX = 96 * 1024 * 1024,
	STRING_MAX = 512, /* a longer string is neither a name nor a message */
	MESSAGE_MAX = 200,
};

/* Reads a segment in pieces. A piece may begin with the last `kept` bytes of the one before. */
struct reader {
	struct file *file;
	uint64_t at, end;
	size_t kept;
	unsigned char data[WINDOW + CHUNK];
};

/* `length`: of the last piece, 0: keep none of it. The number of bytes in `data`; 0: the end. */
static size_t reader_next(struct reader *reader, size_t length)
{
	uint64_t left = reader->end - reader->at;
	size_t size = left < CHUNK ? (size_t)left : CHUNK;

	reader->kept = length < WINDOW ? length : WINDOW;
	memmove(reader->data, reader->data + length - reader->kept, reader->kept);
	if (size == 0 || !file_read(reader->file, reader->at, reader->data + reader->kept, size))
		return 0;
	reader->at += size;
	return reader->kept + size;
}

static void reader_init(
        struct reader *reader, struct file *file, const ElfW(Phdr) * segment, uint64_t most)
{
	uint64_t size = segment->p_filesz < most ? segment->p_filesz : most;

	reader->file = file;
	reader->kept = 0;
	reader->at = segment->p_offset < file->size ? segment->p_offset : file->size;
	reader->end = size < file->size - reader->at ? reader->at + size : file->size;
}

/* ---- code ---- */

static const char *call_name(uint32_t number)
{
	switch (number) {
	case SYS_bind: return "bind";
	case SYS_listen: return "listen";
	case SYS_accept: return "accept";
	case SYS_accept4: return "accept4";
	default: return NULL;
	}
}

static const uint32_t uring_setup = 425; /* on every architecture */

static uint32_t word_at(const unsigned char *code)
{
	return code[0] | (uint32_t)code[1] << 8 | (uint32_t)code[2] << 16 | (uint32_t)code[3] << 24;
}

#if defined(__x86_64__)

/* The next instruction "syscall"; NULL: none. */
static const unsigned char *find_call(const unsigned char *code, const unsigned char *end)
{
	static const unsigned char instruction[] = {0x0f, 0x05};

	return memmem(code, (size_t)(end - code), instruction, sizeof(instruction));
}

/* The last "mov $N,%eax", "mov $N,%rax" or "push $N; pop %rax" before `call`. */
static bool number_before(
        const unsigned char *start, const unsigned char *call, uint32_t *ret_number)
{
	for (const unsigned char *code = call - 3; code >= start; code--) {
		if (code[0] == 0xb8 && call - code >= 5)
			*ret_number = word_at(code + 1);
		else if (code[0] == 0x48 && code[1] == 0xc7 && code[2] == 0xc0 && call - code >= 7)
			*ret_number = word_at(code + 3);
		else if (code[0] == 0x6a && code[2] == 0x58)
			*ret_number = code[1];
		else
			continue;
		if (*ret_number < 1024)
			return true;
	}
	return false;
}

/*
 * "mov $N,%edi" with "xor %eax,%eax" near it and a call or jmp behind: the number is the first
 * argument of syscall().  A function with a variable number of arguments wants a value in %al.
 */
static bool passes_number(const unsigned char *code, const unsigned char *end, uint32_t number)
{
	const unsigned char wanted[] = {0xbf, number & 0xff, number >> 8 & 0xff, 0, 0};
	const unsigned char *start = code;

	while ((code = memmem(code, (size_t)(end - code), wanted, sizeof(wanted)))) {
		const unsigned char *from = code - start < WINDOW / 2 ? start : code - WINDOW / 2;
		const unsigned char *to = code + sizeof(wanted);
		const unsigned char *limit = end - to < WINDOW / 2 ? end : to + WINDOW / 2;

		code = to;
		if (memmem(from, (size_t)(limit - from), "\x31\xc0", 2) &&
		        (memchr(to, 0xe8, (size_t)(limit - to)) ||
		                memchr(to, 0xe9, (size_t)(limit - to))))
			return true;
	}
	return false;
}

enum { CALL_SIZE = 2, CALL_ALIGN = 1 };

#elif defined(__aarch64__)

/* The next instruction "svc #0"; NULL: none. */
static const unsigned char *find_call(const unsigned char *code, const unsigned char *end)
{
	static const unsigned char instruction[] = {0x01, 0x00, 0x00, 0xd4};

	return memmem(code, (size_t)(end - code), instruction, sizeof(instruction));
}

/* The last "mov w8,#N" or "mov x8,#N" before `call`. */
static bool number_before(
        const unsigned char *start, const unsigned char *call, uint32_t *ret_number)
{
	for (const unsigned char *code = call - 4; code >= start; code -= 4) {
		uint32_t instruction = word_at(code);

		if ((instruction & 0x7fe0001f) == 0x52800008) {
			*ret_number = instruction >> 5 & 0xffff;
			return true;
		}
	}
	return false;
}

/* "mov w0,#N" and "bl" or "b" within three instructions: the number is a first argument. */
static bool passes_number(const unsigned char *code, const unsigned char *end, uint32_t number)
{
	for (; end - code >= 4 * 4; code += 4) {
		if ((word_at(code) & 0x7fffffff) != (0x52800000 | number << 5))
			continue;
		for (size_t i = 1; i < 4; i++)
			if ((word_at(code + 4 * i) >> 26 & 0x1f) == 0x05)
				return true;
	}
	return false;
}

enum { CALL_SIZE = 4, CALL_ALIGN = 4 };

#else

static const unsigned char *find_call(const unsigned char *code, const unsigned char *end)
{
	(void)code;
	(void)end;
	return NULL;
}

static bool number_before(
        const unsigned char *start, const unsigned char *call, uint32_t *ret_number)
{
	(void)start;
	(void)call;
	(void)ret_number;
	return false;
}

static bool passes_number(const unsigned char *code, const unsigned char *end, uint32_t number)
{
	(void)code;
	(void)end;
	(void)number;
	return false;
}

enum { CALL_SIZE = 1, CALL_ALIGN = 1 };

#endif

static void scan_chunk(const unsigned char *code, size_t length, size_t kept, struct scan *scan)
{
	const unsigned char *end = code + length, *call = code;

	while (end - call >= CALL_SIZE && (call = find_call(call, end))) {
		const unsigned char *start = call - code < WINDOW ? code : call - WINDOW;
		uint32_t number = 0;

		/* A call that ends within the kept part was seen in the last piece */
		if ((size_t)(call - code) + CALL_SIZE > kept && (call - code) % CALL_ALIGN == 0 &&
		        number_before(start, call, &number)) {
			const char *name = call_name(number);

			if (name && !*scan->call)
				(void)snprintf(scan->call, sizeof(scan->call), "%s", name);
			scan->has_uring = scan->has_uring || number == uring_setup;
		}
		call += CALL_SIZE;
	}
	scan->passes_uring = scan->passes_uring || passes_number(code, end, uring_setup);
}

void scan_code(struct file *file, const struct elf *elf, struct scan *scan)
{
	struct reader reader;
	ElfW(Phdr) segment;
	uint64_t left = CODE_MAX;

	for (size_t i = 0; left > 0 && elf_segment(file, elf, i, &segment); i++) {
		size_t length = 0;

		if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X))
			continue;
		reader_init(&reader, file, &segment, left);
		left -= reader.end - reader.at;
		while ((length = reader_next(&reader, length)) > 0)
			scan_chunk(reader.data, length, reader.kept, scan);
	}
}

/* ---- strings ---- */

static bool contains(const char *text, const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasestr(text, words[i]))
			return true;
	return false;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	size_t n = strlen(end);

	return length > n && !memcmp(text + length - n, end, n);
}

static void keep(char *to, const char *text)
{
	if (!*to)
		(void)snprintf(to, SCAN_TEXT_MAX, "%.*s", SCAN_TEXT_MAX - 1, text);
}

/* The text may be a file's name: no "%s" or the like is in it. */
static bool is_literal(const char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("/._-@+", *text))
			return false;
	return true;
}

static void scan_path(const char *text, size_t length, struct scan *scan)
{
	if (!ends_with(text, length, ".pid") && !ends_with(text, length, ".lock") &&
	        !ends_with(text, length, "/pid"))
		return;
	if (length >= SCAN_TEXT_MAX || !is_literal(text))
		return;
	if (text[0] != '/') {
		/*
		 * Relative: a file in the working directory.  A mere suffix like ".pid" does not
		 * count.
		 */
		if (isalnum((unsigned char)text[0]) && !strchr(text, '/'))
			keep(scan->data_lock, text);
		return;
	}
	for (size_t i = 0; i < scan->path_count; i++)
		if (!strcmp(scan->paths[i], text))
			return;
	if (scan->path_count < SCAN_PATHS_MAX)
		keep(scan->paths[scan->path_count++], text);
}

static void scan_import(const char *text, void *context)
{
	struct scan *scan = context;
	static const char *const locks[] = {
	        "flock", "flock64", "lockf", "lockf64", "fcntl", "fcntl64"};
	static const char *const accepts[] = {"bind", "accept", "accept4"};

	for (size_t i = 0; i < COUNT(locks); i++)
		scan->locks = scan->locks || !strcmp(text, locks[i]);
	for (size_t i = 0; i < COUNT(accepts); i++)
		scan->accepts = scan->accepts || !strcmp(text, accepts[i]);
	scan->calls_syscall = scan->calls_syscall || !strcmp(text, "syscall");
	scan->kills = scan->kills || !strcmp(text, "kill");
	scan->detaches = scan->detaches || !strcmp(text, "daemon") || !strcmp(text, "setsid");
	scan->calls_uring = scan->calls_uring || !strncmp(text, "io_uring_queue_init", 19) ||
	                    !strcmp(text, "io_uring_setup");
}

/* Is it a message that another instance runs already? */
static bool is_refusal(const char *text)
{
	static const char *const certain[] = {"already running", "already be running",
	        "another instance", "running with pid", "is another ", "already have another"};
	static const char *const files[] = {"pidfile", "pid file", "lock file", "lockfile"};
	static const char *const reasons[] = {"already exist", "exclusive lock", "already locked",
	        "could not lock", "cannot lock"};
	/* Messages about other things that run, most of them parts of the program */
	static const char *const others[] = {"generator", "thread", "replica", "slave", "helper",
	        "short of", "coroutine", "worker", "child", "query", "job", "backup", "timer"};

	if (contains(text, others, COUNT(others)))
		return false;
	return contains(text, certain, COUNT(certain)) ||
	       (contains(text, files, COUNT(files)) && contains(text, reasons, COUNT(reasons)));
}

static void scan_string(const char *text, size_t length, struct scan *scan)
{
	scan_path(text, length, scan);
	if (length < MESSAGE_MAX && strstr(text, "already have another") && strstr(text, " data "))
		keep(scan->data_lock, text);
	if (!*scan->refusal && length > 12 && length < MESSAGE_MAX && is_refusal(text))
		keep(scan->refusal, text);
}

static void scan_segment(struct reader *reader, struct scan *scan)
{
	char text[STRING_MAX + 1];
	size_t length, used = 0;

	while ((length = reader_next(reader, 0)) > 0) {
		for (size_t i = 0; i < length; i++) {
			unsigned char c = reader->data[i];

			if (isprint(c) || c == '\n' || c == '\t') {
				if (used < STRING_MAX)
					text[used] = (char)c;
				used += used <= STRING_MAX;
			} else {
				if (!c && used >= 4 && used <= STRING_MAX) {
					text[used] = '\0';
					scan_string(text, used, scan);
				}
				used = 0;
			}
		}
	}
}

void scan_imports(struct file *file, const struct elf *elf, struct scan *scan)
{
	elf_imports(file, elf, scan_import, scan);
}

void scan_strings(struct file *file, const struct elf *elf, struct scan *scan)
{
	struct reader reader;
	ElfW(Phdr) segment;
	uint64_t left = STRINGS_MAX;
	bool apart = false; /* constants have a segment of their own, without code */

	for (size_t i = 0; elf_segment(file, elf, i, &segment); i++)
		apart = apart || (segment.p_type == PT_LOAD && segment.p_flags == PF_R &&
		                         segment.p_offset > 0);
	for (size_t i = 0; left > 0 && elf_segment(file, elf, i, &segment); i++) {
		if (segment.p_type != PT_LOAD || segment.p_flags & PF_W ||
		        (apart && segment.p_flags & PF_X))
			continue;
		reader_init(&reader, file, &segment, left);
		left -= reader.end - reader.at;
		scan_segment(&reader, scan);
	}
}
