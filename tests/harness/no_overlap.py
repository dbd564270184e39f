# SPDX-License-Identifier: MIT
"""A daemon that refuses to run twice, and its clients: fixtures and steps of the --no-overlap
tests."""

import contextlib
import socket

import pytest

from harness.build import program
from harness.waiting import wait_until


@pytest.fixture
def place(directory):
    """The directory of data and UNIX socket.  A daemon that has changed its uid may write there."""
    path = directory / "at"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    (path / "data").touch()
    (path / "data").chmod(0o666)
    return path


@pytest.fixture
def only(place):
    """only(TAG, ...): the command of a daemon that refuses to run twice."""
    def command(tag, *more, name="waiter", style=("--wait=epoll", "--nonblocking")):
        return [program(name), "--tag", tag, *style, f"--lock={place}/data", *map(str, more)]
    return command


def owners(place):
    """The tags of the generations that have locked the data, in order."""
    return [line.split()[0] for line in (place / "data").read_text().splitlines()]


class Client:
    """One connection that asks when it is told to."""

    def __init__(self, address):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        self.socket = socket.socket(family)
        self.socket.settimeout(15)
        self.socket.connect(address if isinstance(address, tuple) else str(address))

    def ask(self, part=b"hello\n"):
        self.socket.sendall(part)
        return self

    def answer(self):
        """The tag in the answer; "" if the connection has ended."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                return ""
            line += byte
        return line.split()[1].decode()

    def last_answer(self):
        """Like answer(); then closes the connection."""
        tag = self.answer()
        self.close()
        return tag

    def close(self):
        self.socket.close()


@pytest.fixture
def connect():
    """connect(PORT or PATH): a Client."""
    with contextlib.ExitStack() as stack:
        def make(where):
            client = Client(("127.0.0.1", where) if isinstance(where, int) else where)
            stack.callback(client.close)
            return client
        yield make


def ended(command, expect):
    """Waits for the operator's command, which must end with status `expect`; returns its stderr."""
    _, err = command.communicate(timeout=30)
    assert command.returncode == expect, err
    return err


def wait_gap(instance, tag=None):
    """Waits until no generation serves (and the generation with that tag has been started)."""
    wait_until(lambda: instance.status()["state"] == "starting", 10, instance.log)
    if tag:
        wait_until(lambda: instance.tagged(tag), 10, instance.log)


def begin(instance, command, *options):
    """Starts an upgrade that takes a while; returns the command when no generation serves any
    more."""
    upgrade = instance.start_command("upgrade", instance.name, *options, "--", *command)
    wait_gap(instance)
    return upgrade
