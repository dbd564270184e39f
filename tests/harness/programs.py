# SPDX-License-Identifier: MIT
"""Questions that a real client program asks; its output contains the tag."""

import os
import re
import socket
import subprocess
import time

from harness.questions import Lost, Question


SESSIONS = set()  # sessions of the clients, whose processes do not belong to a daemon


def is_client(pid):
    """Is the process a client's?  True also if it has ended."""
    try:
        return os.getsid(pid) in SESSIONS
    except ProcessLookupError:
        return True


class Program(Question):
    """Runs command(host, port, number) to its end.  Lost if it fails or its output has no tag."""

    kind = socket.SOCK_STREAM  # nothing may come after the answer
    environment = None

    def __init__(self, address, number):
        self.address, self.number = address, number
        self.started = self.tag = self.ended = None
        self.ask()

    def command(self, host, port, number):
        raise NotImplementedError

    def ask(self):
        self.started = time.monotonic_ns()
        self.output = b""
        self.process = subprocess.Popen(
            list(map(str, self.command(*self.address, self.number))), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment,
            start_new_session=True)
        SESSIONS.add(self.process.pid)
        self.socket = self.process.stdout
        os.set_blocking(self.socket.fileno(), False)

    def step(self):
        data = os.read(self.socket.fileno(), 1 << 16)
        if data:
            self.output += data
            return None
        status = self.process.wait(5)
        found = re.search(rb"GEN (\w+)", self.output)
        if status or not found:
            raise Lost(f"status {status}: {self.output[-200:]!r}")
        return found[1].decode()


def program(command, **environment):
    """Returns the class of questions that ask by command(host, port, number)."""
    return type("Asked", (Program,), {
        "command": staticmethod(command),
        "environment": {**os.environ, **environment} if environment else None})
