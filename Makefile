# SPDX-License-Identifier: MIT
#
#   make                              build/moult and build/libmoult.so
#   make test  [SANITIZE=address,undefined | thread]
#   make check                        everything that can be said without running a daemon
#   make fuzz                         build/fuzz/NAME: the decoders, for scripts/fuzz (clang)
#   make format                       clang-format in place
#   make install PREFIX=/usr/local DESTDIR=
#   make deb                          build/deb/moult_VERSION_ARCHITECTURE.deb: scripts/deb
#
# SANITIZE wants gcc.  Also: CC=clang, WERROR=1, BUILD=directory, TESTS="tests/test_x.py -k name".

PREFIX  = /usr/local
DESTDIR =
PYTHON  = /usr/bin/python3
TESTS   = tests
JOBS    = 2

comma := ,
BUILD := build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

OPTIMISE = -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef \
           $(if $(WERROR),-Werror)
SANITIZER = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE -I. $(OPTIMISE) $(WARNINGS) -MMD -MP $(CPPFLAGS) $(CFLAGS)

# The launcher reads what others have written.  Not every compiler knows the last two; the sanitisers
# and fortified calls do not go together, nor does -O0.  `make check` looks at the result.
known = $(shell $(CC) -Werror $(1) -x c -c -o /dev/null /dev/null 2>/dev/null && echo $(1))
HELPER_CFLAGS := -fPIE -fstack-protector-strong -U_FORTIFY_SOURCE \
                 $(if $(SANITIZE)$(findstring -O0,$(OPTIMISE)),,-D_FORTIFY_SOURCE=2) \
                 $(call known,-fstack-clash-protection) $(call known,-fcf-protection)
LINK_HARDENED = -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
HELPER_LDFLAGS = -pie $(LINK_HARDENED)

# One library for glibc >= 2.31 and musl: bound to the two names both of them answer to, and without
# what a distribution's compiler adds by itself (start files, stack protector, fortified calls,
# thread variables that need the loader's __tls_get_addr).  `make check` looks at the result.  Frames
# are small, for hooks run on alternate signal stacks and in coroutines (shim/scratch.h is for more).
SHIM_CFLAGS  = -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-stack-protector \
               -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0 -include shim/versions.h \
               $(if $(SANITIZE),,-Wframe-larger-than=768)
SHIM_LDFLAGS = -shared -Wl,-soname,libmoult.so $(LINK_HARDENED)
SHIM_LIBS    = -ldl
ifndef SANITIZE
SHIM_LDFLAGS += -nostdlib -Wl,-z,defs -Wl,--no-as-needed
SHIM_LIBS = $(shell $(CC) -print-file-name=libdl.so.2) $(shell $(CC) -print-file-name=libc.so.6) \
            -lgcc
endif

shim     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard shim/*.c shim/*/*.c))
helper   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard helper/*.c helper/*/*.c))
# The load client, and programs of one file each: build/tests/programs/NAME ...  Never sanitised: they stand for
# programs that know nothing of us.
load     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/harness/load/*.c))
programs := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/programs/*.c tests/bench/*.c))

all: $(BUILD)/moult $(BUILD)/libmoult.so

programs: $(BUILD)/tests/load $(programs)

$(BUILD)/libmoult.so: $(shim)
	$(CC) $(SANITIZER) $(LDFLAGS) $(SHIM_LDFLAGS) -o $@ $^ $(SHIM_LIBS)

$(BUILD)/moult: $(helper)
	$(CC) $(SANITIZER) $(LDFLAGS) $(HELPER_LDFLAGS) -o $@ $^

$(BUILD)/shim/%.o: shim/%.c
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZER) $(SHIM_CFLAGS) -c -o $@ $<

$(BUILD)/helper/%.o: helper/%.c
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZER) $(HELPER_CFLAGS) -c -o $@ $<

$(BUILD)/tests/load: $(load)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/harness/load/%.o: tests/harness/load/%.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(BUILD)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(COMPILE) -pthread -o $@ $<

rust:
	scripts/rust $(BUILD)/tests/rust

-include $(shim:.o=.d) $(helper:.o=.d) $(load:.o=.d) $(programs:=.d)

# Sanitised without real daemons (not all of them stand the runtime) and without the tests that compare
# environments to the byte.
test: all programs
	MOULT_BUILD=$(abspath $(BUILD)) $(if $(SANITIZE),scripts/sanitised $(SANITIZE)) \
		$(PYTHON) -m pytest -n $(JOBS) $(if $(SANITIZE),-m "not daemons and not exact") $(TESTS)

# Each tests/fuzz/fuzz_NAME.c is a program of its own.  What it includes of the product is compiled with
# it; all else comes from an archive, from which no second copy is taken.  The hooks are left out: the
# sanitiser's runtime has its own.  So are folders that decode nothing.
FUZZ         = $(BUILD)/fuzz
FUZZ_COMPILE = clang -std=gnu11 -D_GNU_SOURCE -I. -O1 -g $(WARNINGS) -MMD -MP \
               -fno-omit-frame-pointer -fno-sanitize-recover=undefined
fuzz_helper := $(patsubst %.c,$(FUZZ)/%.o,$(filter-out helper/lifecycle/% helper/unit/%, \
                 $(wildcard helper/*/*.c)))
fuzz_shim   := $(patsubst %.c,$(FUZZ)/%.o,$(filter-out shim/startup.c,$(wildcard shim/*.c)))
fuzzers     := $(patsubst tests/fuzz/fuzz_%.c,$(FUZZ)/%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz: $(fuzzers)

$(fuzz_helper) $(fuzz_shim): $(FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_COMPILE) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

$(FUZZ)/helper.a: $(fuzz_helper)
$(FUZZ)/shim.a: $(fuzz_shim)
$(FUZZ)/helper.a $(FUZZ)/shim.a:
	@rm -f $@
	ar rcs $@ $^

$(filter $(FUZZ)/shim_%,$(fuzzers)): $(FUZZ)/%: tests/fuzz/fuzz_%.c $(FUZZ)/shim.a
	$(FUZZ_COMPILE) -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZ)/shim.a

$(filter-out $(FUZZ)/shim_%,$(fuzzers)): $(FUZZ)/%: tests/fuzz/fuzz_%.c $(FUZZ)/helper.a
	$(FUZZ_COMPILE) -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZ)/helper.a

-include $(fuzz_helper:.o=.d) $(fuzz_shim:.o=.d) $(fuzzers:=.d)

check:
	scripts/check

format:
	clang-format -i $$(find shim helper tests scripts -name "*.[ch]")

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/moult \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(BUILD)/moult $(DESTDIR)$(PREFIX)/bin/moult
	install -m 755 $(BUILD)/libmoult.so $(DESTDIR)$(PREFIX)/lib/moult/libmoult.so
	install -m 644 helper/moult.8 $(DESTDIR)$(PREFIX)/share/man/man8/moult.8

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/moult $(DESTDIR)$(PREFIX)/lib/moult/libmoult.so \
		$(DESTDIR)$(PREFIX)/share/man/man8/moult.8
	-rmdir $(DESTDIR)$(PREFIX)/lib/moult

deb:
	scripts/deb

clean:
	rm -rf build build-*

.PHONY: all programs rust fuzz test check format install uninstall deb clean
.DELETE_ON_ERROR:
