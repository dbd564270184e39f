# SPDX-License-Identifier: MIT
"""--no-overlap: stops, crashes and further upgrades while an upgrade is under way."""

import signal

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost
from harness.no_overlap import begin, connect, ended, only, place, wait_gap
from harness.waiting import wait_until


def test_a_second_upgrade_is_refused_in_each_phase(moult, port, only, connect):
    """While the old generation ends, and while the next one starts."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    client = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}", "--start-delay=1000"))
    result = instance.upgrade(expect=75)
    assert "another upgrade is running (generation 2)" in result.stderr
    instance.signal(signal.SIGHUP)
    instance.wait_log(r"another upgrade is running \(generation 2\)")
    client.close()
    wait_gap(instance, "g2")
    assert "(generation 2)" in instance.upgrade(expect=75).stderr
    ended(upgrade, 0)
    assert instance.status()["upgrades"]["completed"] == 1
    instance.stop()


def test_the_old_generation_dies_while_it_drains(moult, port, only, connect):
    """The next one is started."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}"))
    processes.kill([process.pid for process in instance.tagged("g1")])
    assert "generation 1: was killed by SIGKILL" in ended(upgrade, 0)
    assert connect(port).ask().last_answer() == "g2"
    instance.stop()


def test_the_next_generation_is_killed_while_it_starts_without_overlap(moult, port, only, connect):
    """kill -9 counts as any other failure of the next generation."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    upgrade = begin(instance, only("bad", f"--port={port}", "--fail=hang"))
    wait_gap(instance, "bad")
    waiting = connect(port).ask()
    processes.kill([process.pid for process in instance.tagged("bad")])
    assert "generation 2: was killed by SIGKILL" in ended(upgrade, 1)
    assert waiting.last_answer() == "g1"
    instance.stop()


@pytest.mark.parametrize("how", ["stop", "TERM"])
def test_a_stop_while_the_old_generation_drains(moult, port, only, connect, how):
    """The old generation serves the waiting clients again and finishes all of them; then the
    instance ends."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    held = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}"))
    waiting = connect(port).ask()
    if how == "stop":
        stop = instance.start_command("stop", instance.name)
    else:
        instance.signal(signal.SIGTERM)
    assert waiting.last_answer() == "g1"
    ended(upgrade, 1)
    assert held.ask(b"lo\n").last_answer() == "g1"
    assert instance.wait_ended() == 0
    if how == "stop":
        ended(stop, 0)


@pytest.mark.parametrize("options, more", [((), ("--start-delay=700",)),
                                           (("--ready=notify",), ())],
                         ids=["before-it-listens", "before-it-is-ready"])
def test_a_stop_while_the_next_generation_starts(moult, port, only, connect, options, more):
    """The next generation serves the waiting clients, ready or not."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    upgrade = begin(instance, only("g2", f"--port={port}", *more), *options)
    wait_gap(instance, "g2")
    if options:
        wait_until(lambda: instance.status()["listeners"][0]["adopted"], 10, instance.log)
    waiting = connect(port).ask()
    instance.signal(signal.SIGTERM)
    ended(upgrade, 1)
    assert waiting.last_answer() == "g2"
    assert instance.wait_ended() == 0


@pytest.mark.parametrize("phase", ["draining", "stopping", "starting"])
def test_stop_now_while_no_generation_serves(moult, port, only, connect, phase):
    """All processes end."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s", "--kill-after=20s",
                           command=only("g1", f"--port={port}", "--stop-delay=1000"))
    client = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}", "--fail=hang"))
    if phase != "draining":
        client.close()
        instance.wait_log("generation 1: stopping by SIGTERM")
    if phase == "starting":
        wait_gap(instance, "g2")
    instance.stop("--now")
    ended(upgrade, 1)
    assert not instance.tagged("g1") and not instance.tagged("g2")


def test_an_upgrade_after_a_crash(moult, port, only, connect):
    """No generation has to end first, and clients wait already."""
    instance = moult().run("--no-overlap", "--restart=always",
                           command=only("g1", f"--port={port}"))
    processes.kill([process.pid for process in instance.tagged("g1")])
    waiting = connect(port).ask()
    assert waiting.last_answer() == "g1"
    instance.wait_serving()
    instance.upgrade(command=only("g2", f"--port={port}"))
    assert connect(port).ask().last_answer() == "g2"
    instance.stop()


def test_workers_left_by_a_crash_end_before_the_next_generation_starts(moult, load, port, place):
    """The master is killed and its workers serve on.  They belong to the old generation."""
    command = [program("acceptor"), "--tag", "g1", "--model=prefork", f"--port={port}"]
    instance = moult().run("--no-overlap", "--restart=on-failure", command=command)
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(50)
    before = {process.pid for process in instance.tagged("g1")}
    processes.kill([instance.generation(1)["pid"]])
    instance.wait_log("generation 2: took over")
    assert not before & {process.pid for process in instance.tagged("g1")}
    log = instance.log()
    assert log.index("generation 1: drained") < log.index("generation 2: started")
    client.wait_answers(50)
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.parametrize("hosts", [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")],
                         ids="-".join)
def test_an_upgrade_to_a_wider_or_narrower_address(moult, port, only, connect, hosts):
    """The new socket listens when the new generation serves, and then the earlier socket is
    gone."""
    instance = moult().run("--no-overlap",
                           command=only("g1", f"--port={port}", f"--host={hosts[0]}"))
    upgrade = begin(instance, only("bad", f"--port={port}", f"--host={hosts[1]}"),
                    "--ready=notify", "--ready-timeout=600ms")
    wait_until(lambda: len(instance.status()["listeners"]) == 2, 10, instance.status)
    waiting = connect(port).ask()  # at the earlier address, because the other one is not ready
    ended(upgrade, 1)
    assert waiting.last_answer() == "g1"
    instance.upgrade(command=only("g2", f"--port={port}", f"--host={hosts[1]}"))
    assert connect(port).ask().last_answer() == "g2"
    (listener,) = instance.status()["listeners"]
    assert listener["address"] == f"tcp:{hosts[1]}:{port}"
    instance.stop()
