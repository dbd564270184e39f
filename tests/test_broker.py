# SPDX-License-Identifier: MIT
"""The broker, which reads the requests of the processes of a daemon: it is compromised, or ends."""

import os
import pathlib
import signal

from harness import processes
from harness.waiting import wait_until
from test_hostile import HOSTILE, hostile, pytestmark  # noqa: F401


def broker_of(instance):
    """Its pid; None while there is none."""
    for process in processes.descendants(instance.process.pid):
        if processes.name(process.pid) == "moult-broker":
            return process.pid
    return None


def test_silent_connections_of_old_generations_leave_the_next_one_room(hostile):  # noqa: F811
    """Four generations hold as many as they may, and stay; the fifth binds its port all the same."""
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
    """One that replaces another is forked while generations run: it gives up what they share."""
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
