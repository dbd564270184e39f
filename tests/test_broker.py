# SPDX-License-Identifier: MIT
"""The broker, which reads the requests of a daemon's processes, is compromised or ends."""

import errno
import os
import pathlib
import re
import signal
import time

import pytest

from harness import fuse, processes
from harness.waiting import wait_until
from test_hostile import HOSTILE, hostile, pytestmark  # noqa: F401


def broker_of(instance):
    """The broker's pid, or None while there is no broker."""
    for process in processes.descendants(instance.process.pid):
        if processes.name(process.pid) == "moult-broker":
            return process.pid
    return None


def test_silent_connections_of_old_generations_leave_the_next_one_room(hostile):  # noqa: F811
    """Four generations hold as many connections as they may, and stay.  The fifth still binds its
    port."""
    hostile.run("silent.py", "--root", options=["--kill-after=60s"])
    hostile.wait()
    for tag in ("g2", "g3", "g4"):
        hostile.upgrade(tag, "silent.py", "--root")
        wait_until(lambda: hostile.out().count("end") >= int(tag[1]), 20, hostile.out)
    hostile.upgrade("g5")
    assert hostile.who() == "g5"
    attackers = [process.pid for process in processes.descendants(hostile.instance.process.pid)
                 if process.command[2:3] == [str(HOSTILE / "silent.py")]]
    processes.kill(attackers)
    hostile.instance.stop("--now")


def test_a_broker_has_no_memory_of_the_daemons(hostile):  # noqa: F811
    """A new broker is forked while generations run.  It gives up the memory that these share with
    the launcher."""
    instance = hostile.run()
    first = broker_of(instance)
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: broker_of(instance) not in (None, first) and broker_of(instance),
                        5, "no other broker")
    wait_until(lambda: "memfd:moult" not in pathlib.Path(f"/proc/{second}/maps").read_text(), 5,
               lambda: pathlib.Path(f"/proc/{second}/maps").read_text())
    hostile.upgrade()
    assert hostile.who() == "g2"
    instance.stop("--now")


# ---- files and sockets that hang every process that touches them ----

@pytest.fixture
def silent(directory):
    """silent(OPERATION...): a user's file system that never answers these operations."""
    mounted = []

    def mount(*operations, **more):
        path = directory / "silent"
        path.mkdir()
        mounted.append(fuse.FileSystem(path, operations, **more))
        return mounted[0]
    yield mount
    for one in mounted:
        one.close()


def hanging():
    """Processes of moult that nobody can kill because they wait in the kernel.  Most are at their
    end and have no memory and no command line any more."""
    return [name for process in processes.descendants() if process.state == "D" or not process.command
            for name in [processes.name(process.pid)] if name.startswith("moult")]


def test_a_file_whose_close_is_never_answered(hostile, silent):
    """Each close of a file asks its file system (FUSE_FLUSH), and a process that waits for this
    answer cannot be killed.  A few children of the broker hang; then nothing more is received from
    this generation.  Other generations are served, and the log does not grow."""
    files = silent(fuse.FLUSH)
    instance = hostile.run("flush.py", files.path / "file", 20)
    hostile.wait(deadline=100)
    said = len(instance.log())
    hostile.upgrade()
    assert hostile.who() == "g2"
    hostile.upgrade("g3")
    assert hostile.who() == "g3"
    assert not re.search("hangs and is replaced", instance.log()), instance.log()
    assert len(hanging()) == 4, hanging()
    assert instance.log().count("its requests get no answer") == 1
    assert hostile.out().count(f"-{errno.EBADMSG}") == 4, hostile.out()
    files.speak()
    wait_until(lambda: not hanging(), 10, "they hang all the same")
    assert len(instance.log()) - said < 4000
    instance.stop()


def test_a_socket_that_its_sender_keeps_locked(hostile, silent):
    """A process that asks the socket for its address waits in the kernel and cannot be killed.  The
    broker asks, and hangs.  New brokers replace it, without an answer from the old one."""
    files = silent(fuse.READ)
    instance = hostile.run("lock.py", files.path / "file", 8)
    hostile.wait(deadline=60)
    assert hanging(), hostile.out()
    hostile.upgrade()
    assert hostile.who() == "g2"
    hostile.upgrade("g3")
    assert hostile.who() == "g3"
    assert len(hanging()) <= 4, hanging()
    assert instance.log().count("hangs and is replaced") <= 4
    files.speak()
    wait_until(lambda: not hanging(), 10, "they hang all the same")
    instance.stop()


@pytest.mark.parametrize("verb", ["UNLINKED", "BIND"])
def test_slow_answers_are_paid_for(hostile, silent, verb):
    """A file system answers in a tenth of a second.  One such answer is no reason to complain, but
    the launcher waits for each.  A generation may cost at most a twentieth of the time."""
    files = silent(delay=0.09)
    instance = hostile.run("slow.py", files.path, 14, verb)
    hostile.wait("^begins")
    began = time.monotonic()
    asked = files.lookups()
    while time.monotonic() < began + 4:
        instance.status()
    hostile.upgrade()
    assert hostile.who() == "g2"
    took = time.monotonic() - began
    # 450 ms at first, and 5 % of the rest; one more answer under way; at most two lookups for each.
    assert (files.lookups() - asked) * files.delay < 0.45 + took / 20 + 0.5, hostile.out()
    instance.stop()


def test_answers_whose_askers_cannot_end(hostile, silent):
    """A child of the launcher that has read a file there hangs at its own end, after it has given
    the answer."""
    files = silent(fuse.FLUSH)
    instance = hostile.run("slow.py", files.path, 5, "REMOVED", options=["--kill-after=30s"])
    hostile.wait("^begins")
    hostile.upgrade()
    hostile.wait()
    assert 0 < len(hanging()) <= 16, hostile.out()
    files.speak()
    wait_until(lambda: not hanging(), 10, "they hang all the same")
    instance.stop()
