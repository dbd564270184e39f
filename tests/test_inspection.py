# SPDX-License-Identifier: MIT
"""Malformed programs: the launcher inspects them before an upgrade, and survives."""

import pathlib
import stat
import subprocess

import pytest

from harness import build
from harness.build import program
from harness.network import ask
from harness.opens import Opens, special_files
from harness.waiter import waiter
from harness.waiting import wait_until


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def make(directory):
    """Makes the malformed files; returns {name: path}."""
    special_files(directory)
    (directory / "loop").symlink_to("loop")
    script(directory / "empty", "")
    script(directory / "itself", f"#!{directory / 'itself'}\n")
    script(directory / "nothing", "#!/bin/sh\nexec env -S ''\n")
    script(directory / "nothing-first", "#!/usr/bin/env -S\n")
    head = pathlib.Path(program("waiter")).read_bytes()[:4096]
    for name, data in (("zeroes", b""), ("cut", head)):
        with open(directory / name, "wb") as file:
            file.write(data)
            file.truncate(1 << 43)
        (directory / name).chmod(0o755)
    return {path.name: path for path in directory.iterdir()}


def test_an_upgrade_to_a_malformed_program_fails_with_one_line(moult, port, directory):
    """The current generation is not disturbed."""
    (directory / "files").mkdir()
    files = make(directory / "files")
    special = [files[name] for name in ("fifo", "device", "socket", "folder")]
    instance = moult().run("--ready-timeout=500ms", command=waiter("g1", port))
    opens = Opens(special)
    commands = [[path] for path in files.values()]
    commands += [["env", path] for path in special]
    commands += [["env", "-S", ""], ["env", "-S"], ["env", "-S", "A=b"], ["nice", ""],
                 ["sh", "-c", ""], ["su", "-c"], ["chroot", "", ""], ["busybox", ""]]
    for command in commands:
        looked = list(map(str, command))
        result = instance.command("upgrade", instance.name, "--", *looked)
        assert result.returncode in (1, 126, 127), (looked, result)
        complaints = [line for line in result.stderr.splitlines() if "still serves" in line]
        assert len(complaints) == 1, (looked, result.stderr)
        assert instance.process.poll() is None, instance.log()
        assert ask(port).startswith("GEN g1 ")
    assert not opens.seen()
    opens.close()
    assert instance.status()["generations"][0]["id"] == 1
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop("--now")


# A library in the launcher that does to it what a hole in the inspection would: from the moment at
# which a file with these words is read, somebody else decides what the process does.
TAKEN_OVER = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int has(const char *text, const char *word) { return !strncmp(text, word, strlen(word)); }

static void eat(void)
{
	for (;;) {
		char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			__builtin_trap();
	}
}

static void escape(const char *text)
{
	char victim[200], *end;
	static const char *const shell[] = {"/bin/sh", "-c", "kill -KILL $PPID", 0};
	struct { unsigned long flags, mode, resolve; } how = {O_WRONLY | O_CREAT, 0600, 0};
	long done = 0, number = 0;

	strcpy(victim, strchr(text, ' ') + 1);
	end = strchr(victim, '\n');
	*end = 0;
	done |= syscall(SYS_openat, AT_FDCWD, victim, O_WRONLY | O_TRUNC, 0) >= 0;
	done |= syscall(SYS_openat, AT_FDCWD, victim, O_RDWR, 0) >= 0;
	done |= (syscall(SYS_unlinkat, AT_FDCWD, victim, 0) == 0) << 1;
	done |= (syscall(SYS_fchmodat, AT_FDCWD, victim, 04777) == 0) << 1;
	strcpy(end, ".new");
	done |= (syscall(SYS_openat, AT_FDCWD, victim, O_RDONLY | O_CREAT, 0600) >= 0) << 2;
	done |= (syscall(437, AT_FDCWD, victim, &how, sizeof how) >= 0) << 3;
	done |= (syscall(SYS_kill, getppid(), SIGKILL) == 0) << 4;
	done |= (socket(AF_INET, SOCK_STREAM, 0) >= 0) << 5;
	for (int fd = 0; fd < 64; fd++)
		number += fcntl(fd, F_GETFD) >= 0;
	done |= (number > 2) << 6; /* what it reads, and where it reports */
	syscall(SYS_execve, "/bin/sh", shell, 0);
	if (done)
		__builtin_trap();
}

static void decide(const char *text, long length)
{
	static const char mark[] = "#!/bin/sh\n#taken-over ";

	if (length < (long)sizeof mark || !has(text, mark))
		return;
	text += sizeof mark - 1;
	if (has(text, "crash"))
		__builtin_trap();
	if (has(text, "hang"))
		for (;;)
			;
	if (has(text, "eat"))
		eat();
	if (has(text, "escape "))
		escape(text);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, to, size, offset);
	decide(to, n);
	return n;
}
ssize_t pread64(int fd, void *to, size_t size, off_t o) __attribute__((alias("pread")));
ssize_t __pread_chk(int fd, void *to, size_t size, off_t offset, size_t room)
{
	(void)room;
	return pread(fd, to, size, offset);
}
ssize_t __pread64_chk(int fd, void *to, size_t size, off_t o, size_t room)
        __attribute__((alias("__pread_chk")));
"""


@pytest.fixture
def infected(moult, directory):
    """An instance whose inspection of programs can be taken over."""
    (directory / "taken.c").write_text(TAKEN_OVER)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", "-D_GNU_SOURCE", "-o",
                    directory / "taken.so", directory / "taken.c"], check=True)
    instance = moult()
    instance.environment["LD_PRELOAD"] = f"{build.SANITISER}:{directory / 'taken.so'}".strip(":")
    return instance


def children(instance):
    """All child processes, including zombies."""
    pid = instance.process.pid
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("what, why", [
    ("crash", "ended without a result"), ("hang", "not answer in time"),
    pytest.param("eat", "ended without a result", marks=pytest.mark.exact)])
def test_an_upgrade_goes_on_if_the_inspection_fails(infected, port, directory, what, why):
    """The launcher logs that it knows nothing of the program, tries the command, and leaves nothing
    behind."""
    instance = infected.run("--ready-timeout=500ms", command=waiter("g1", port))
    before = children(instance)
    script(directory / "evil", f"#!/bin/sh\n#taken-over {what}\nexit 3\n")
    result = instance.upgrade(command=[directory / "evil"], expect=1)
    assert "generation 1 still serves" in result.stderr
    instance.wait_log(rf"evil could not be inspected \(.*{why}\); it is tried as it is")
    assert ask(port).startswith("GEN g1 ")
    wait_until(lambda: set(children(instance)) <= set(before), 10, lambda: children(instance))
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop("--now")


def test_a_start_goes_on_if_the_inspection_fails(infected, port, directory):
    """The program starts as it would without moult."""
    script(directory / "wrapper",
           f"#!/bin/sh\n#taken-over crash\nexec {' '.join(waiter('g1', port))}\n")
    instance = infected.run(command=[directory / "wrapper"])
    instance.wait_log("wrapper could not be inspected")
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop("--now")


@pytest.mark.exact  # a sanitiser's runtime needs the forbidden calls
def test_a_compromised_inspection_can_do_nothing(infected, port, directory):
    """It can write no file, signal no process, make no connection and start nothing."""
    victim = directory / "victim"
    victim.write_text("root's\n")
    victim.chmod(0o600)
    instance = infected.run("--ready-timeout=500ms", command=waiter("g1", port))
    script(directory / "evil", f"#!/bin/sh\n#taken-over escape {victim}\nexit 3\n")
    # The process crashes if one of its attempts succeeds
    assert "status 3" in instance.upgrade(command=[directory / "evil"], expect=1).stderr
    assert "could not be inspected" not in instance.log()
    assert victim.read_text() == "root's\n" and stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert sorted(path.name for path in directory.glob("victim*")) == ["victim"]
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")
