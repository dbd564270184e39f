# SPDX-License-Identifier: MIT
"""--restart: a daemon that ends is started again, or ends the launcher too."""

import os
import re
import signal
import socket

import pytest

from harness import processes
from harness.load import assert_lost_only_with
from harness.network import ask, listens
from harness.waiter import waiter
from harness.waiting import wait_until


@pytest.mark.parametrize("policy, number", [("always", signal.SIGKILL), ("always", signal.SIGQUIT),
                                            ("on-failure", signal.SIGSEGV)])
def test_restart_keeps_the_queue_open(moult, load, port, policy, number):
    instance = moult().run(f"--restart={policy}", command=waiter(
        "g1", port, f"--exit-signal={int(signal.SIGQUIT)}"))
    client = load(f"127.0.0.1:{port}", rate=600)
    deaths = []
    for _ in range(3):
        client.wait_answers(50)
        old = instance.tagged("g1")[0]
        deaths.append(processes.kill([old.pid], number))
        wait_until(lambda o=old: [p for p in instance.tagged("g1") if p.pid != o.pid], 15,
                   instance.log)
    client.wait_answers(50)
    assert_lost_only_with(client.stop(), deaths)
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop()


def test_a_daemon_that_dies_again_and_again_waits_longer_each_time(moult, port):
    """A short time of readiness is no success: the pause doubles, and the queue stays open."""
    instance = moult().run("--restart=always", command=waiter("g1", port))
    killed = set()
    for pause in (100, 200, 400):
        old = wait_until(lambda: [p for p in instance.tagged("g1") if p.pid not in killed], 15,
                         instance.log)[0]
        wait_until(lambda: ask(port).startswith(f"GEN g1 {old.pid}"), 15, instance.log)
        killed.add(old.pid)
        os.kill(old.pid, signal.SIGKILL)
        wait_until(lambda p=pause: f"starting again in {p} ms" in instance.log(), 15, instance.log)
        assert listens("127.0.0.1", port)
    instance.stop()


@pytest.mark.parametrize("policy, number, status", [
    ("no", signal.SIGQUIT, 0), ("no", signal.SIGKILL, 1), ("on-failure", signal.SIGQUIT, 0)])
def test_a_daemon_that_ends_and_is_not_restarted(moult, port, policy, number, status):
    """The launcher ends too, with a status that tells whether the end was a failure."""
    instance = moult().run(f"--restart={policy}", command=waiter(
        "g1", port, f"--exit-signal={int(signal.SIGQUIT)}"))
    os.kill(instance.tagged("g1")[0].pid, number)
    assert (instance.wait_ended() == 0) == (status == 0)
    assert re.search(r"generation 1: .*(exited with status 0|killed by SIGKILL)", instance.log())
    assert not listens("127.0.0.1", port)
    assert not processes.descendants()


def test_a_daemon_that_always_fails_is_not_restarted_in_a_tight_loop(moult, port, directory):
    """`stop` ends the pause at once."""
    count = directory / "starts"
    count.touch()
    good = directory / "good"
    good.touch()
    script = (f"echo >> {count}; if [ -e {good} ]; then exec {' '.join(waiter('g1', port))}; fi; "
              "exit 1")
    instance = moult().run("--restart=always", command=["sh", "-c", script])
    good.unlink()
    os.kill(instance.tagged("g1")[0].pid, signal.SIGKILL)
    wait_until(lambda: count.read_text().count("\n") >= 3, 15, instance.log)
    assert count.read_text().count("\n") < 20
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        good.touch()  # a client that comes while no process accepts is answered later
        connection.sendall(b"hello\n")
        assert connection.recv(100).startswith(b"GEN g1 ")
    instance.stop()


def test_a_restart_that_fails_beside_a_predecessor_is_tried_again(moult, port):
    """The predecessor still drains when its successor dies, and serves again meanwhile."""
    instance = moult().run("--restart=always", command=waiter("g1", port))
    with socket.create_connection(("127.0.0.1", port)) as held:
        held.sendall(b"hello\n")
        assert held.recv(100)
        instance.upgrade(command=["sh", "-c", f"test ! -e {instance.runtime}/bad || exit 7;"
                                              'exec "$@"', "sh", *map(str, waiter("g2", port))])
        (instance.runtime / "bad").touch()
        os.kill(instance.tagged("g2")[0].pid, signal.SIGKILL)
        instance.wait_log("generation 3: exited with status 7")
        assert instance.status()["state"] == "serving"
        assert ask(port).startswith("GEN g1 ")
        (instance.runtime / "bad").unlink()
        wait_until(lambda: ask(port).startswith("GEN g2 "), 15, instance.log)
    instance.stop("--now")


def test_a_restarted_program_that_is_never_ready_runs_on(moult):
    """As at its first start: no other generation serves, and the program would also run without
    moult."""
    instance = moult().run("--restart=always", "--ready-timeout=300ms", wait=False,
                           command=["sleep", "1000"])
    instance.wait_log("generation 1: not ready after 300 ms")
    os.kill(instance.generation(1)["pid"], signal.SIGKILL)
    instance.wait_log("generation 2: not ready after 300 ms")
    assert instance.status()["generations"][0]["state"] == "current"
    instance.stop("--now")
