# SPDX-License-Identifier: MIT
"""A real systemd in namespaces (tests/beds), with moult where `make install` puts it.

A bed serves all tests of one pytest process.  A test enters the network namespace of the bed, so
that its clients reach the services; afterwards its units are gone.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess

from harness import build, network, processes
from harness.waiting import wait_until

BEDS = build.ROOT / "tests" / "beds"
# This machine's own Debian 12 has the older one, and what scripts/setup has installed.
ROOTS = {"252": "/", "257": "trixie"}
TREE_DEADLINE = 600

MOULT = "/usr/local/bin/moult"
WAITER = "/opt/waiter"
UNITS = "/run/systemd/system"
CLONE_NEWNET = 0x40000000


class Bed:
    """One booted systemd.  `root`: another tree than that of the tests."""

    def __init__(self, version, root=None):
        self.version = version
        root = root or ROOTS[version]
        if root != "/":
            made = subprocess.run([BEDS / "tree", root], capture_output=True, text=True,
                                  timeout=TREE_DEADLINE)
            assert made.returncode == 0, made.stderr
            root = made.stdout.strip()
        self.process = subprocess.Popen([BEDS / "boot", root], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, start_new_session=True)
        processes.set_apart(self.process.pid)
        said = self.process.stdout.readline().strip()
        assert said.isdigit(), said + self.process.stdout.read()
        self.pid = int(said)
        self.put(build.MOULT, MOULT)
        self.put(build.LIBRARY, "/usr/local/lib/moult/libmoult.so")
        self.put(build.program("waiter"), WAITER)
        state = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
        assert state == "running", f"{state}\n{self.journal()}"
        assert self.run("systemctl", "--version").stdout.startswith(f"systemd {version} ")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            self.process.stdout.close()
            processes.set_apart(self.process.pid, False)

    # -- its files and processes --

    def path(self, path):
        """The bed's file as this machine sees it."""
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def put(self, source, path):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.path(path))

    def write(self, path, text, mode=0o644):
        """Replaces the file: a process that has it open or runs it keeps the old one."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        new = self.path(path + ".new")
        new.write_text(text)
        new.chmod(mode)
        new.rename(self.path(path))

    def _inside(self, words):
        return ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid",
                "--cgroup", "env", "-i", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin",
                "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", *map(str, words)]

    def start(self, *words):
        """Starts a command in the bed."""
        return subprocess.Popen(self._inside(words), stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *words, check=True, timeout=40):
        result = subprocess.run(self._inside(words), stdin=subprocess.DEVNULL, text=True,
                                capture_output=True, timeout=timeout)
        assert not check or result.returncode == 0, (
            f"{' '.join(map(str, words))} ended with {result.returncode}\n"
            f"{result.stdout}{result.stderr}\n{self.journal()}")
        return result

    def journal(self, unit=None):
        words = ["journalctl", "--no-pager", "-o", "short-monotonic", "-n", "200"]
        return self.run(*words, *([f"--unit={unit}"] if unit else []), check=False).stdout

    def enter_network(self):
        """Moves this thread, and all that it starts from now on, to the bed's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{self.pid}/ns/net") as file:
            assert libc.setns(file.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


class Unit:
    """A service of the bed whose program is a script, /opt/NAME; a test replaces it as a package
    would."""

    def __init__(self, bed, name):
        self.port = network.new_port()
        self.bed = bed
        self.name = f"{name}-{self.port}"  # the journal has those of earlier tests, too
        self.unit = f"{self.name}.service"
        self.program = f"/opt/{self.name}"
        self.sockets = None

    def install(self, *lines, run=(), kind="notify", exec_start=None):
        """Writes the unit file: the documented one, and these lines of [Service]."""
        start = exec_start or " ".join([MOULT, "run", f"--name={self.name}", *run, "--",
                                        self.program])
        text = "\n".join(["[Service]", f"Type={kind}", f"ExecStart={start}", "KillMode=mixed",
                          *([] if kind == "notify-reload" else
                            [f"ExecReload={MOULT} upgrade {self.name}"]), *lines, ""])
        self.bed.write(f"{UNITS}/{self.unit}", text)  # new: systemd finds it without a reload
        return self

    def socket(self, *lines):
        """Gives the service a .socket unit with these lines of [Socket], and starts that."""
        self.sockets = f"{self.name}.socket"
        self.bed.write(f"{UNITS}/{self.sockets}", "\n".join(["[Socket]", *lines, ""]))
        self.bed.run("systemctl", "start", self.sockets)

    def version(self, tag, *options, before=""):
        """Puts that version of the program in place; `before` are commands of its shell script."""
        words = [WAITER, "--tag", tag, "--wait=epoll", "--nonblocking", f"--port={self.port}"]
        self.bed.write(self.program, "\n".join(
            ["#!/bin/sh", before, f"exec {' '.join([*words, *map(str, options)])}", ""]), 0o755)
        return self

    def systemctl(self, *words, expect=0):
        """Runs systemctl on this unit."""
        result = self.bed.run("systemctl", *words, self.unit, check=False)
        assert expect is None or result.returncode == expect, (
            f"systemctl {' '.join(words)} ended with {result.returncode}, not {expect}:\n"
            f"{result.stdout}{result.stderr}\n{self.log()}")
        return result

    def show(self, *names):
        """Those properties of the unit; one: its value, more: a list."""
        found = dict(line.split("=", 1) for line in
                     self.systemctl("show", *(f"--property={name}" for name in names))
                     .stdout.splitlines())
        values = [found[name] for name in names]
        return values if len(values) > 1 else values[0]

    def wait(self, name, value, deadline=15.0):
        """Until that property has that value."""
        wait_until(lambda: self.show(name) == value, deadline,
                   lambda: f"{name} is {self.show(name)}, not {value}\n{self.log()}", pause=0.05)

    def log(self):
        return self.bed.journal(self.unit)

    def close(self):
        """Ends what is left of it, and forgets it."""
        units = [self.unit, self.sockets] if self.sockets else [self.unit]
        self.bed.run("systemctl", "stop", "--no-block", *units, check=False)
        self.bed.run("systemctl", "kill", "--signal=KILL", self.unit, check=False)
        self.bed.run("systemctl", "stop", *units, check=False)
        self.bed.run("systemctl", "reset-failed", *units, check=False)
        for path in [self.program, *(f"{UNITS}/{unit}" for unit in units)]:
            self.bed.path(path).unlink(missing_ok=True)
