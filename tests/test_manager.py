# SPDX-License-Identifier: MIT
"""What the launcher tells the service manager that has started it (sd_notify)."""

import signal
import socket
import time

import pytest

from harness.manager import managed, manager  # fixtures
from harness.network import ask
from harness.no_overlap import connect, ended
from harness.states import begin_upgrade
from harness.waiter import waiter
from harness.waiting import wait_until


def test_ready_when_the_first_generation_serves(managed, manager, port):
    """Not before.  The time that the manager waits is extended meanwhile."""
    instance = managed().run(command=waiter("g1", port, "--start-delay=1500"), wait=False)
    before = manager.wait("EXTEND_TIMEOUT_USEC=5000000")
    assert "READY=1" not in manager.lines()[:before]
    after = manager.wait("READY=1")
    assert "STATUS=generation 1 serves" in manager.messages[after - 1]
    assert ask(port).startswith("GEN g1 ")
    instance.stop()
    manager.wait("STOPPING=1", after)


def test_an_upgrade_is_a_reload(managed, manager, port):
    """The manager knows that it is over, well or not, before the command returns."""
    instance = managed().run(command=waiter("g1", port))
    start = manager.wait("READY=1")
    instance.upgrade(command=waiter("g2", port))
    wait_until(lambda: len(manager.messages) >= start + 2, 5, lambda: str(manager.messages))
    number = manager.wait("RELOADING=1", start)
    [line] = [line for line in manager.messages[number - 1] if line.startswith("MONOTONIC_USEC=")]
    assert abs(int(line.split("=")[1]) / 1e6 - time.monotonic()) < 60
    start = manager.wait("READY=1", number)
    assert not any(line.startswith("ERRNO=") for line in manager.messages[start - 1])
    instance.upgrade(command=waiter("bad", port, "--fail=exit1"), expect=1)
    number = manager.wait("RELOADING=1", start)
    after = manager.wait("READY=1", number)
    assert "ERRNO=22" in manager.messages[after - 1]
    status = [line for line in manager.messages[after - 1] if line.startswith("STATUS=")]
    assert "exited with status 1 before it was ready" in status[0]
    assert status[0].endswith("generation 2 serves"), status
    assert "STOPPING=1" not in manager.lines()
    instance.stop()


def test_a_stop_that_takes_time_is_extended(managed, manager, port, connect):
    instance = managed().run(command=waiter("g1", port))
    held = connect(port).ask()
    assert held.answer() == "g1"
    start = manager.wait("READY=1")
    stop = instance.start_command("stop", instance.name)
    number = manager.wait("STOPPING=1", start)
    number = manager.wait("EXTEND_TIMEOUT_USEC=5000000", number)
    manager.wait("EXTEND_TIMEOUT_USEC=5000000", number)
    held.close()
    ended(stop, 0)


TALKS = """
import os, socket, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = os.environ["NOTIFY_SOCKET"]
notify.connect("\\0" + name[1:] if name[0] == "@" else name)
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
for line in ("READY=1", "STOPPING=1", "RELOADING=1", "MAINPID=1", "FDSTORE=1", "BARRIER=1",
             "STATUS=" + sys.argv[1] + " \\x1b works\\nREADY=1", "WATCHDOG=1"):
    notify.send(line.encode())
while True:
    client = server.accept()[0]
    client.sendall(b"GEN " + sys.argv[1].encode() + b" 0\\n")
    client.close()
    notify.send(b"STATUS=asked\\nSTOPPING=1\\nWATCHDOG=1")
"""


def talks(tag, port):
    return ["/usr/bin/python3", "-c", TALKS, tag, str(port)]


@pytest.mark.parametrize("ready", ["serving", "notify"])
def test_what_a_daemon_says_is_not_what_the_service_is(managed, manager, port, ready):
    """Only the current generation's STATUS and WATCHDOG are passed on.  A program says its status when it
    is ready, before its generation is the current one."""
    instance = managed().run(f"--ready={ready}", command=talks("g1", port))
    start = manager.wait("READY=1")
    start = manager.wait("STATUS=generation 1: g1 ? works", start)  # said before it was current
    assert ask(port).startswith("GEN g1")
    start = manager.wait("STATUS=generation 1: asked", start)
    instance.upgrade(command=talks("g2", port))
    start = manager.wait("READY=1", start)
    start = manager.wait("STATUS=generation 2: g2 ? works", start)
    assert ask(port).startswith("GEN g2")
    manager.wait("STATUS=generation 2: asked", start)
    for word in ("STOPPING=1", "MAINPID=1", "BARRIER=1"):
        assert word not in manager.lines(), manager.messages
    assert ["FDSTORE=1"] not in manager.messages
    assert manager.lines().count("RELOADING=1") == 1
    assert manager.lines().count("READY=1") == 2
    instance.stop()
    manager.wait("STOPPING=1")


def test_the_manager_watches_the_launcher(managed, manager, port):
    """Three times in each period, also while an upgrade is under way; and a stopped launcher is
    silent."""
    instance = managed(WATCHDOG_USEC="600000").run(command=waiter("g1", port))
    for _ in range(5):
        start = manager.wait("WATCHDOG=1", len(manager.messages), 2)
    upgrade = begin_upgrade(instance, waiter("g2", port, "--start-delay=1500"))
    for _ in range(3):
        start = manager.wait("WATCHDOG=1", len(manager.messages), 2)
    ended(upgrade, 0)
    instance.signal(signal.SIGSTOP)
    time.sleep(0.05)
    start = len(manager.messages)
    time.sleep(0.5)
    assert "WATCHDOG=1" not in manager.lines(start)
    instance.signal(signal.SIGCONT)
    instance.stop()


def test_a_daemon_with_a_watchdog_is_asked_itself(managed, manager, port):
    """The launcher is silent then; not when another program is current, which has none."""
    instance = managed(WATCHDOG_USEC="600000").run(command=talks("g1", port))
    start = manager.wait("READY=1")
    assert ask(port).startswith("GEN g1")
    start = manager.wait("STATUS=generation 1: asked", start)
    time.sleep(0.5)
    assert "WATCHDOG=1" not in manager.lines(start)
    instance.upgrade(command=waiter("g2", port))
    manager.wait("WATCHDOG=1", manager.wait("READY=1", start), 2)
    instance.stop()


def test_a_manager_that_does_not_read_holds_nothing_up(moult, port, directory):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(directory / "notify"))
        instance = moult()
        instance.environment["NOTIFY_SOCKET"] = str(directory / "notify")
        instance.environment["WATCHDOG_USEC"] = "3000"
        instance.run(command=waiter("g1", port))
        instance.upgrade(command=waiter("g2", port))
        instance.wait_alone()
        instance.stop()
