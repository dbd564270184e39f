/* SPDX-License-Identifier: MIT */
/*
 * Turns the hints in a program's file into findings and advice.
 *
 * Only a program that makes its own system calls and does not import bind or accept is refused:
 * none of its calls passes through the library.
 */
#include "helper/check/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/file.h"
#include "helper/check/scan.h"

enum { LIBRARIES_MAX = 64, LIBRARIES_BYTES_MAX = 256 * 1024 * 1024 };

struct finding *findings_add(
        struct findings *findings, enum severity severity, const char *id, const char *format, ...)
{
	struct finding *finding;
	va_list arguments;

	if (findings->count == COUNT(findings->list))
		findings->count--;
	finding = &findings->list[findings->count++];
	*finding = (struct finding){.severity = severity, .id = id};
	va_start(arguments, format);
	(void)vsnprintf(finding->text, sizeof(finding->text), format, arguments);
	va_end(arguments);
	return finding;
}

static void advise(struct finding *finding, const char *format, ...) PRINTF(2, 3);

static void advise(struct finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(finding->advice, sizeof(finding->advice), format, arguments);
	va_end(arguments);
}

/* ---- C library ---- */

static void find_libc(const char *path, const struct elf *elf, struct findings *findings)
{
	const char *loader = path_base(elf->loader);
	struct finding *finding;

	if (!strncmp(loader, "ld-linux", 8) || !strncmp(loader, "ld64.so", 7) ||
	        !strncmp(loader, "ld.so", 5) || !*loader) {
		(void)findings_add(findings, SEVERITY_OK, "libc",
		        "%.300s uses glibc: the library works with 2.31 and newer", path);
	} else if (!strncmp(loader, "ld-musl", 7)) {
		(void)findings_add(findings, SEVERITY_OK, "libc",
		        "%.300s uses musl: the library works there, too", path);
	} else {
		finding = findings_add(findings, SEVERITY_WARNING, "libc",
		        "%.200s is loaded by %.200s, a C library that is not known here", path,
		        elf->loader);
		advise(finding, "try an upgrade where it does no harm");
	}
}

/* ---- libraries ---- */

/* Parts of the C library and of the compiler. Their system calls are made for the program. */
static bool is_of_libc(const char *name)
{
	static const char *const names[] = {"libc.so", "libc.musl", "ld-", "ld64.", "linux-vdso",
	        "libpthread.", "libdl.", "libm.", "librt.", "libresolv.", "libutil.", "libnsl.",
	        "libgcc_s.", "libstdc++."};

	for (size_t i = 0; i < COUNT(names); i++)
		if (!strncmp(name, names[i], strlen(names[i])))
			return true;
	return false;
}

/* Opens a library in the loader's directory or a usual one; ld.so.conf is not read. */
static bool open_library(
        const struct elf *program, const char *name, struct file *file, char *path, size_t size)
{
	static const char *const usual[] = {"/usr/local/lib", "/usr/lib", "/lib"};
	char loader[PATH_MAX];
	char *slash;

	if (strchr(name, '/') || !realpath(program->loader, loader))
		return false;
	slash = strrchr(loader, '/');
	*slash = '\0';
	for (size_t i = 0; i <= COUNT(usual); i++) {
		int n = snprintf(path, size, "%s/%s", i == 0 ? loader : usual[i - 1], name);

		if (n > 0 && (size_t)n < size && file_open(file, path) == 0)
			return true;
	}
	return false;
}

static bool has_uring(const struct scan *scan)
{
	return scan->has_uring || scan->calls_uring || (scan->passes_uring && scan->calls_syscall);
}

static void find_in_libraries(
        struct file *file, const struct elf *elf, struct scan *scan, struct findings *findings)
{
	char name[256];
	uint64_t read = 0;

	for (size_t i = 0; i < LIBRARIES_MAX && read < LIBRARIES_BYTES_MAX &&
	                   elf_needed(file, elf, i, name, sizeof(name));
	        i++) {
		CLEANUP(file_close) struct file library = {.fd = -1};
		struct scan found = {0};
		char path[PATH_MAX];
		struct elf headers;
		struct finding *finding;

		if (!strncmp(name, "liburing", 8))
			scan->calls_uring = true;
		if (is_of_libc(name) || !open_library(elf, name, &library, path, sizeof(path)) ||
		        elf_read(&library, &headers) != ELF_PROGRAM)
			continue;
		scan_code(&library, &headers, &found);
		scan_imports(&library, &headers, &found);
		read += library.bytes;
		scan->has_uring = scan->has_uring || has_uring(&found);
		if (!*found.call)
			continue;
		finding = findings_add(findings, SEVERITY_WARNING, "raw-calls",
		        "%.300s, one of its libraries, seems to call %s without the C library",
		        path, found.call);
		advise(finding,
		        "a listener made in this way is not handed over; the launcher reports "
		        "it when it finds one");
	}
}

/* ---- what code and strings say ---- */

static void report_calls(const char *path, const struct scan *scan, struct findings *findings)
{
	struct finding *finding;

	if (*scan->call && scan->accepts) {
		finding = findings_add(findings, SEVERITY_WARNING, "raw-calls",
		        "%.300s seems to call %s without the C library in some places", path,
		        scan->call);
		advise(finding,
		        "a listener made in this way is not handed over; the launcher reports "
		        "it when it finds one");
	} else if (*scan->call) {
		finding = findings_add(findings, SEVERITY_REFUSED, "raw-calls",
		        "%.300s makes its own system calls (%s): the library does not see them; it "
		        "runs, but upgrades are not possible",
		        path, scan->call);
		advise(finding, "use a build of it that calls the C library");
	}
	if (has_uring(scan)) {
		finding = findings_add(findings, SEVERITY_WARNING, "io-uring",
		        "%.300s can use io_uring: moult does not see connections that are accepted "
		        "through it (io_uring for files, its usual use, does no harm)",
		        path);
		advise(finding,
		        "if the program serves and the launcher says that it is not ready, turn "
		        "io_uring off in the program's configuration");
	}
}

/* A pid or lock file that the command line names; NULL: none. */
static const char *named_pid_file(const struct words *words)
{
	for (size_t i = 1; i < words->count; i++) {
		const char *equals = strchr(words->word[i], '=');
		const char *name = equals ? equals + 1 : words->word[i];
		size_t length = strlen(name);

		if (name[0] == '/' && length > 5 &&
		        (!strcmp(name + length - 4, ".pid") || !strcmp(name + length - 5, ".lock")))
			return name;
	}
	return NULL;
}

static void report_refusal(
        const struct chain *chain, const char *path, struct scan *scan, struct findings *findings)
{
	const char *named = named_pid_file(&chain->words);
	char files[3 * SCAN_TEXT_MAX] = "";
	struct finding *finding;
	size_t used = 0;

	/* Not a daemon, or without the means to find another instance */
	if (!(scan->accepts || scan->detaches) || !(scan->locks || scan->kills))
		return;
	for (size_t i = 0; i < scan->path_count && used < sizeof(files); i++)
		used += (size_t)snprintf(files + used, sizeof(files) - used, "%s%s",
		        i > 0 ? ", " : "", scan->paths[i]);
	if (*scan->refusal) {
		for (char *c = scan->refusal; *c; c++)
			if (*c == '\n' || *c == '\t')
				*c = ' ';
		finding = findings_add(findings, SEVERITY_NOTE, "pid-file",
		        "%.200s may refuse to start beside itself (it knows to say \"%s\")", path,
		        scan->refusal);
		advise(finding, "if an upgrade fails so, add --aside=%.200s%s%s%s",
		        named                   ? named
		        : scan->path_count == 1 ? scan->paths[0]
		                                : "PATH",
		        !named && scan->path_count > 1 ? " (one of " : "",
		        !named && scan->path_count > 1 ? files : "",
		        !named && scan->path_count > 1 ? ")" : "");
	}
	if (*scan->data_lock && scan->locks && scan->accepts) {
		finding = findings_add(findings, SEVERITY_NOTE, "data-lock",
		        "%.200s may lock its data (the file contains the name \"%s\")", path,
		        scan->data_lock);
		advise(finding,
		        "if an upgrade fails because of that lock, use --no-overlap: the old "
		        "version ends before the new one starts, and clients wait");
	}
}

void findings_search(const struct chain *chain, struct findings *findings)
{
	const char *path = chain->steps[chain->count - 1].path;
	CLEANUP(file_close) struct file file = {.fd = -1};
	struct scan scan = {0};
	struct elf elf;

	if (file_open(&file, path) < 0 || file.fd < 0) {
		(void)findings_add(findings, SEVERITY_NOTE, "unreadable",
		        "%.300s may not be read by this user: it is not examined further", path);
		return;
	}
	if (elf_read(&file, &elf) != ELF_PROGRAM)
		return;
	find_libc(path, &elf, findings);
	scan_code(&file, &elf, &scan);
	scan_imports(&file, &elf, &scan);
	scan_strings(&file, &elf, &scan);
	if (!*chain->root)
		find_in_libraries(&file, &elf, &scan, findings);
	report_calls(path, &scan, findings);
	report_refusal(chain, path, &scan, findings);
}
