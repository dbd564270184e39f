# SPDX-License-Identifier: MIT
#
#   make                              build/moult and build/libmoult.so
#   make test  [SANITIZE=address,undefined | thread]
#   make check                        everything that can be said without running a daemon
#   make format                       clang-format in place
#   make install PREFIX=/usr/local DESTDIR=
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

# One library for glibc >= 2.31 and musl: bound to the two names both of them answer to, and without
# what a distribution's compiler adds by itself (start files, stack protector, fortified calls,
# thread variables that need the loader's __tls_get_addr).  `make check` looks at the result.  Frames
# are small, for hooks run on alternate signal stacks and in coroutines (shim/scratch.h is for more).
SHIM_CFLAGS  = -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-stack-protector \
               -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0 -include shim/versions.h \
               $(if $(SANITIZE),,-Wframe-larger-than=768)
SHIM_LDFLAGS = -shared -Wl,-soname,libmoult.so -Wl,-z,now
SHIM_LIBS    = -ldl
ifndef SANITIZE
SHIM_LDFLAGS += -nostdlib -Wl,-z,defs -Wl,--no-as-needed
SHIM_LIBS = $(shell $(CC) -print-file-name=libdl.so.2) $(shell $(CC) -print-file-name=libc.so.6) \
            -lgcc
endif

shim     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard shim/*.c))
helper   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard helper/*.c))
# Each of these is a program of its own, in one file: build/tests/load, build/tests/programs/NAME ...
# Never sanitised: they stand for programs that know nothing of us.
programs := $(patsubst tests/harness/%.c,$(BUILD)/tests/%,$(wildcard tests/harness/*.c)) \
            $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/programs/*.c tests/bench/*.c))

all: $(BUILD)/moult $(BUILD)/libmoult.so

programs: $(programs)

$(BUILD)/libmoult.so: $(shim)
	$(CC) $(SANITIZER) $(LDFLAGS) $(SHIM_LDFLAGS) -o $@ $^ $(SHIM_LIBS)

$(BUILD)/moult: $(helper)
	$(CC) $(SANITIZER) $(LDFLAGS) -o $@ $^

$(BUILD)/shim/%.o: shim/%.c
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZER) $(SHIM_CFLAGS) -c -o $@ $<

$(BUILD)/helper/%.o: helper/%.c
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZER) -c -o $@ $<

$(BUILD)/tests/%: tests/harness/%.c
	@mkdir -p $(@D)
	$(COMPILE) -pthread -o $@ $<

$(BUILD)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(COMPILE) -pthread -o $@ $<

-include $(shim:.o=.d) $(helper:.o=.d) $(programs:=.d)

# Sanitised without real daemons (not all of them stand the runtime) and without the tests that compare
# environments to the byte.
test: all programs
	MOULT_BUILD=$(abspath $(BUILD)) $(if $(SANITIZE),scripts/sanitised $(SANITIZE)) \
		$(PYTHON) -m pytest -n $(JOBS) $(if $(SANITIZE),-m "not daemons and not exact") $(TESTS)

check:
	scripts/check

format:
	clang-format -i $(wildcard */*.[ch] tests/*/*.[ch])

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

clean:
	rm -rf build build-*

.PHONY: all programs test check format install uninstall clean
.DELETE_ON_ERROR:
