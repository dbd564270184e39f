# SPDX-License-Identifier: MIT
"""The keeper process of a generation is killed alone, by SIGKILL; its daemon lives.

Whatever the launcher does about that, it serves clients as after a crash of the daemon, and leaves
no process of that generation behind.
"""

import os
import signal

from harness import processes
from harness.network import ask, listens
from harness.no_overlap import connect, ended
from harness.states import assert_ends, begin_upgrade, keeper_of
from harness.waiter import waiter
from harness.waiting import wait_until


def kill_keeper(instance, number):
    """Returns when the launcher has seen its end."""
    keeper = keeper_of(instance, number)
    processes.kill([keeper])
    wait_until(lambda: not os.path.exists(f"/proc/{keeper}"), 10, instance.log)


def wait_settled(instance, *tags):
    """Until the instance serves, and each daemon that lives belongs to a generation."""
    def settled():
        status = instance.status()
        known = {generation["pid"] for generation in status["generations"]}
        living = {process.pid for tag in tags for process in instance.tagged(tag)}
        return status["state"] == "serving" and living and living == known
    wait_until(settled, 8, lambda: f"{instance.status()}\n{instance.log()}")


def answers(port):
    return {ask(port).split()[1] for _ in range(20)}


def test_the_keeper_of_the_only_generation(moult, port):
    """Without --restart: either the daemon serves on and is stopped as ever, or all ends."""
    instance = moult().run(command=waiter("g1", port))
    kill_keeper(instance, 1)

    def decided():
        if instance.process.poll() is not None:
            return "ended"
        status = instance.status(check=False)
        return status and status["state"] == "serving" and status["generations"]
    if wait_until(decided, 10, instance.log) != "ended":
        assert answers(port) == {"g1"}
        instance.signal(signal.SIGTERM)
        assert_ends(instance, 0)
        return
    assert_ends(instance, 1)


def test_the_keeper_of_the_current_generation_with_restart(moult, port):
    """One daemon serves; an upgrade replaces it, and `stop` ends all."""
    instance = moult().run("--restart=always", command=waiter("g1", port))
    kill_keeper(instance, 1)
    wait_settled(instance, "g1")
    assert answers(port) == {"g1"}
    instance.upgrade(command=waiter("g2", port))
    assert answers(port) == {"g2"}
    instance.wait_alone()
    assert not instance.tagged("g1")
    instance.signal(signal.SIGTERM)
    assert_ends(instance, 0)


def test_the_keeper_of_the_current_generation_beside_a_predecessor(moult, port, connect):
    """The predecessor still drains.  One of the two serves new clients, and the predecessor
    finishes its own."""
    instance = moult().run(command=waiter("g1", port))
    held = connect(port).ask()
    assert held.answer() == "g1"
    instance.upgrade(command=waiter("g2", port))
    kill_keeper(instance, 2)
    wait_settled(instance, "g1", "g2")
    assert len(answers(port)) == 1
    assert held.ask().answer() == "g1"
    held.close()
    instance.signal(signal.SIGTERM)
    assert_ends(instance, 0)


def test_the_keeper_of_a_draining_generation(moult, port, connect):
    """Its client may be lost, its processes end, and the current generation is not disturbed."""
    instance = moult().run("--drain-timeout=2s", command=waiter("g1", port))
    assert connect(port).ask().answer() == "g1"
    instance.upgrade(command=waiter("g2", port))
    kill_keeper(instance, 1)
    wait_until(lambda: not instance.tagged("g1"), 8, instance.log)
    instance.wait_gone(1)
    wait_settled(instance, "g2")
    assert answers(port) == {"g2"}
    instance.signal(signal.SIGTERM)
    assert_ends(instance, 0)


def test_the_keeper_of_the_next_generation(moult, port):
    """The upgrade fails, and the next one is good."""
    instance = moult().run("--ready-timeout=3s", command=waiter("g1", port))
    upgrade = begin_upgrade(instance, waiter("bad", port, "--fail=hang", "--fail-at=listening"))
    instance.wait_log("bad hangs")
    kill_keeper(instance, 2)
    ended(upgrade, 1)
    assert answers(port) == {"g1"}
    wait_settled(instance, "g1", "bad")
    instance.upgrade(command=waiter("g2", port))
    assert answers(port) == {"g2"}
    instance.wait_alone()
    instance.signal(signal.SIGTERM)
    assert_ends(instance, 0)


def test_the_keeper_of_a_generation_that_has_been_told_to_stop(moult, port):
    """The daemon ignores the stop signal, and is killed at its time."""
    instance = moult().run("--kill-after=2s", command=waiter(
        "g1", port, f"--report-signal={int(signal.SIGTERM)}"))
    keeper = keeper_of(instance, 1)
    instance.signal(signal.SIGINT)
    instance.wait_log("waiter g1: signal 15")
    processes.kill([keeper])
    assert_ends(instance, 0)


def test_the_keeper_and_its_daemon_at_once(moult, port):
    """As any crash: the daemon is started again, and the queue stays open."""
    instance = moult().run("--restart=always", command=waiter("g1", port))
    (daemon,) = instance.tagged("g1")
    instance.signal(signal.SIGSTOP)
    processes.kill([daemon.parent])
    processes.kill([daemon.pid])
    instance.signal(signal.SIGCONT)
    assert listens("127.0.0.1", port)
    assert ask(port).startswith("GEN g1 ")
    instance.wait_serving()
    assert len(instance.tagged("g1")) == 1
    instance.signal(signal.SIGTERM)
    assert_ends(instance, 0)
