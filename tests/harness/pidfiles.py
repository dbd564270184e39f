# SPDX-License-Identifier: MIT
"""A daemon with a pid file (programs/pidfile.c), and what happens to that file."""

import contextlib
import ctypes
import os
import socket
import struct

import pytest

from harness.build import program


FAILURES = {
    "exits": ("--fail=exit1", "--fail-at=listening"),
    "crashes": ("--fail=segv", "--fail-at=bound"),
    "dies after the switch": ("--fail=die-soon", "--fail-at=waiting"),
    "hangs": ("--fail=hang", "--fail-at=listening"),
}


@pytest.fixture
def path(directory):
    """The path of the daemon's pid file, in a directory of its own."""
    files = directory / "files"
    files.mkdir()
    return files / "daemon.pid"


def daemon(tag, port, path, model, *more):
    return [program("pidfile"), "--tag", tag, f"--model={model}", f"--output={path}",
            "--nonblocking", "--port", str(port), *more]


def named(path):
    return int(path.read_text())


def pid_of(instance, tag):
    return instance.tagged(tag)[0].pid


@contextlib.contextmanager
def held(port):
    """A connection that keeps its generation in the drain."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello\n")
        assert connection.recv(100).startswith(b"GEN ")
        yield connection


def names_in(path):
    return sorted(os.listdir(path.parent))


class Watch:
    """Records all that happens to a file, by inotify: every step, however short."""

    EVENTS = {0x2: "written", 0x40: "moved away", 0x80: "moved here", 0x100: "created",
              0x200: "deleted"}

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.name, self.fd = path.name, libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self.fd, bytes(path.parent), sum(self.EVENTS)) >= 0

    def stop(self):
        data, found = b"", []
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self.fd, 65536)
        os.close(self.fd)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            if data[16:16 + length].rstrip(b"\0").decode() == self.name:
                found += [event for bit, event in self.EVENTS.items() if mask & bit]
            data = data[16 + length:]
        return found
