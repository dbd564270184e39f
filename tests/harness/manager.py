# SPDX-License-Identifier: MIT
"""A service manager as the launcher sees it: NOTIFY_SOCKET, with a store of descriptors, and the
descriptors that it passes to what it starts (sd_listen_fds)."""

import array
import os
import socket
import threading

import pytest

from harness.waiting import wait_until

# Puts descriptors in their places, as systemd does, and becomes the program.
PASS = """
import os, sys
count, names, fds = int(sys.argv[1]), sys.argv[2], [int(fd) for fd in sys.argv[3].split(",")]
away = [os.dup(fd) if fd < 3 + count else fd for fd in fds]
while any(fd < 3 + count for fd in away):
    away = [os.dup(fd) for fd in away]
for place, fd in enumerate(away, 3):
    os.dup2(fd, place)
os.closerange(3 + count, 1000)
os.environ.update(LISTEN_PID=sys.argv[4] or str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execv(sys.argv[5], sys.argv[5:])
"""


def passing(named, pid=""):
    """How Moult.run() starts a launcher that gets these descriptors: (NAME, FD) pairs, in order.
    `pid`: they are said to be for that process."""
    names, fds = zip(*named)
    return {"through": ("/usr/bin/python3", "-c", PASS, str(len(fds)), ":".join(names),
                        ",".join(map(str, fds)), pid),
            "pass_fds": fds}


class Manager:
    """Keeps each message as a list of its lines.  `stored` has the store's descriptors by name."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.messages = []
        self.stored = {}
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()

    def _receive(self):
        while True:
            data, control, _, _ = self.socket.recvmsg(65536, 1024)
            lines = data.decode().split("\n")
            [name] = [line[7:] for line in lines if line.startswith("FDNAME=")] or [None]
            for _, _, bytes_ in control:
                [fd] = array.array("i", bytes_)
                assert "FDSTORE=1" in lines and "FDPOLL=0" in lines and name not in self.stored
                self.stored[name] = fd
            if "FDSTOREREMOVE=1" in lines and name in self.stored:
                os.close(self.stored.pop(name))
            self.messages.append(lines)

    def close(self):
        while self.stored:
            os.close(self.stored.popitem()[1])

    def lines(self, start=0):
        return [line for message in self.messages[start:] for line in message]

    def wait(self, line, start=0, deadline=10.0):
        """Until a message from number `start` on has that line; returns the number after it."""
        def found():
            for number, message in enumerate(self.messages[start:], start + 1):
                if line in message:
                    return number
            return None
        return wait_until(found, deadline, lambda: f"no {line!r} in {self.messages[start:]}")

    def wait_stored(self, count, deadline=10.0):
        """Until the store has so many descriptors; returns its (NAME, FD) pairs, the last first, as
        systemd passes them."""
        wait_until(lambda: len(self.stored) == count, deadline,
                   lambda: f"{len(self.stored)} stored, not {count}: {self.messages}")
        return list(reversed(self.stored.items()))


@pytest.fixture
def manager(directory):
    made = Manager(directory / "notify")
    yield made
    made.close()


@pytest.fixture
def managed(moult, directory, manager):
    """managed(): an instance that this manager starts."""
    def make(**variables):
        instance = moult()
        instance.environment["NOTIFY_SOCKET"] = str(directory / "notify")
        instance.environment.update(variables)
        return instance
    return make
