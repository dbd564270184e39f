# SPDX-License-Identifier: MIT
"""A service by each of the examples in scripts/examples, with the real tool of Debian."""

import os
import socket

import pytest

from harness import openrc
from harness.machine import Machine
from harness.network import ask, listens
from harness.services import Lsb, OpenRC, Runit, S6, Stock, Supervisor
from harness.waiter import waiter
from harness.waiting import wait_until

SERVICES = (Lsb, Stock, OpenRC, Runit, S6, Supervisor)
TELLS_READINESS = (Lsb, Stock, OpenRC, Runit, S6)


@pytest.fixture
def service(started, port):
    """service(KIND): the service "web" on a machine of its own, not started yet."""
    def make(kind):
        machine = Machine(port, openrc.tree() if kind is OpenRC else None)
        started.append(machine)
        machine.configure("g1")
        return kind(machine)
    return make


def serves(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.makefile().read()


@pytest.mark.daemons
@pytest.mark.parametrize("kind", SERVICES)
def test_a_service_from_its_start_to_its_stop(service, load, port, kind):
    """Upgrades lose nobody, a version that fails is reported and changes nothing, and a restart
    leaves nobody waiting for a drain."""
    web = service(kind)
    machine = web.machine
    assert not web.runs()
    web.start()
    if kind not in TELLS_READINESS:
        wait_until(lambda: listens("127.0.0.1", port), 10, "nobody listens")
    assert "GEN g1 " in serves(port)
    wait_until(web.runs, 20, "the tool does not say that the service runs", pause=0.2)
    launcher = web.launcher()

    client = load(f"127.0.0.1:{port}", rate=200, mode="http", persistent=3)
    client.wait_answers(20, "g1")
    machine.configure("g2")
    web.reload()
    client.wait_answers(20, "g2")
    web.wait_upgraded(1)
    web.spoil()
    assert web.failure in web.upgrade(expect=1).said
    client.wait_answers(20, "g2")
    machine.configure("g3")
    web.upgrade()
    client.wait_answers(20, "g3")
    assert web.runs() and web.launcher() == launcher

    upgraded = client.report()
    web.restart()
    wait_until(lambda: listens("127.0.0.1", port), 10, "nobody listens")
    assert "GEN g3 " in serves(port) and web.runs() and web.launcher() != launcher
    client.wait_answers(20, "g3")
    result = client.stop()
    assert not upgraded.losses, upgraded.explain()
    # A restart without moult refuses some and cuts those that are connected, too.
    assert {kind.removeprefix("persistent ") for kind in result.losses} <= {"refused", "reset", "cut"}
    assert result.losses, "the load client sees nothing"
    web.stop()
    assert not web.runs() and not listens("127.0.0.1", port)
    machine.wait_nothing_left()


# ---- readiness by a descriptor ----

def test_a_newline_says_that_the_service_is_ready(moult, port):
    """Not before it serves, once, and the program does not have the descriptor."""
    read, write = os.pipe()
    instance = moult().run(f"--notify-fd={write}", wait=False, pass_fds=(write,),
                           command=waiter("g1", port, "--start-delay=300"))
    os.close(write)
    assert os.read(read, 10) == b"\n"
    assert ask(port).startswith("GEN g1 ")
    assert os.read(read, 10) == b"", "another process has the descriptor"
    os.close(read)
    instance.upgrade()
    instance.stop()


def test_a_service_that_does_not_become_ready_says_nothing(moult, port):
    read, write = os.pipe()
    instance = moult().run(f"--notify-fd={write}", wait=False, pass_fds=(write,),
                           command=waiter("g1", port, "--fail=exit1"))
    os.close(write)
    assert os.read(read, 10) == b""
    assert instance.wait_ended() == 1
    os.close(read)


def test_a_descriptor_that_is_not_there(moult, port):
    result = moult().command("run", "-n", "x", "--notify-fd=9", "--", *waiter("g1", port))
    assert result.returncode == 1 and "--notify-fd=9: Bad file descriptor" in result.stderr
    result = moult().command("run", "-n", "x", "--notify-fd=2", "--", *waiter("g1", port))
    assert result.returncode == 2 and "--notify-fd=2: not a descriptor number" in result.stderr
