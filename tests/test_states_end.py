# SPDX-License-Identifier: MIT
"""A stop in each state of an upgrade, and what comes after a stop."""

import os
import signal

import pytest

from harness import processes
from harness.build import program
from harness.network import listens
from harness.no_overlap import begin, connect, ended, only, owners, place
from harness.places import places, stages
from harness.states import (assert_ends, assert_none_left, at_the_switch, begin_upgrade, once,
                            resume, without_end)
from harness.waiter import waiter
from harness.waiting import wait_until

STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["stop", "stop-now"])


@pytest.fixture
def flag(directory):
    return directory / "flag"


def wait_state(instance, state):
    wait_until(lambda: instance.status()["state"] == state, 10, instance.log)


# ---- after a stop ----

def test_an_upgrade_while_the_instance_drains(moult, port, connect):
    """It is refused, not as busy, and is not counted."""
    instance = moult().run(command=waiter("g1", port))
    held = connect(port).ask(b"hel")
    instance.wait_generation(1, lambda generation: generation["accepted"] == 1)
    instance.signal(signal.SIGTERM)
    wait_state(instance, "draining")
    assert "is stopping" in instance.upgrade(command=waiter("g2", port), expect=1).stderr
    instance.signal(signal.SIGHUP)
    instance.wait_log("is stopping")
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (0, 0)
    assert held.ask(b"lo\n").last_answer() == "g1"
    assert_ends(instance, 0)


def test_a_second_stop_waits_for_the_first(moult, port, connect):
    """It changes nothing for the clients, and both commands end with the instance."""
    instance = moult().run(command=waiter("g1", port))
    held = connect(port).ask(b"hel")
    instance.wait_generation(1, lambda generation: generation["accepted"] == 1)
    stops = [instance.start_command("stop", instance.name)]
    wait_state(instance, "draining")
    stops.append(instance.start_command("stop", instance.name))
    instance.signal(signal.SIGTERM)
    assert held.ask(b"lo\n").answer() == "g1"
    assert [stop.poll() for stop in stops] == [None, None]
    held.close()
    for stop in stops:
        ended(stop, 0)
    assert_ends(instance, 0)


def test_stop_now_cuts_a_drain_short(moult, port, connect):
    """`stop` has begun; `stop --now` does not wait for the client.  Both commands succeed."""
    instance = moult().run(command=waiter("g1", port))
    held = connect(port).ask(b"hel")
    instance.wait_generation(1, lambda generation: generation["accepted"] == 1)
    stop = instance.start_command("stop", instance.name)
    wait_state(instance, "draining")
    instance.stop("--now")
    ended(stop, 0)
    assert held.last_answer() == ""
    assert_none_left(instance)


def test_further_stops_while_the_daemon_is_stopping(moult, port):
    """Each of them waits for the end, and an upgrade is refused.  The daemon gets the stop signal
    once, and is killed at its time."""
    instance = moult().run("--kill-after=4s", command=waiter(
        "g1", port, f"--report-signal={int(signal.SIGTERM)}"))
    stops = [instance.start_command("stop", instance.name, "--now")]
    wait_state(instance, "stopping")
    for options in ((), ("--now",)):
        stops.append(instance.start_command("stop", instance.name, *options))
    assert "is stopping" in instance.upgrade(command=waiter("g2", port), expect=1).stderr
    for stop in stops:
        ended(stop, 0)
    assert_ends(instance, 0)
    assert instance.log().count("waiter g1: signal 15") == 1


@pytest.mark.parametrize("older", [False, True], ids=["alone", "beside-an-older-one"])
def test_the_daemon_is_killed_while_a_stop_empties_its_queue(moult, port, connect, older):
    """Nobody is left to accept who waits there, so the queue is closed.  An older generation
    finishes its own client first."""
    instance = moult().run(command=waiter("g1", port))
    if older:
        held = connect(port).ask()
        assert held.answer() == "g1"
        instance.upgrade(command=waiter("g2", port))
    (daemon,) = instance.tagged("g2" if older else "g1")
    os.kill(daemon.pid, signal.SIGSTOP)
    connect(port).ask()
    instance.signal(signal.SIGTERM)
    wait_state(instance, "draining")
    processes.kill([daemon.pid])
    wait_until(lambda: not listens("127.0.0.1", port), 10, instance.log)
    if older:
        assert held.ask().answer() == "g1"
        held.close()
    assert_ends(instance, 0)


def test_a_stop_when_the_master_has_just_been_killed(moult, port, load):
    """The launcher does not know yet whether the workers serve on.  They finish what they have."""
    instance = moult().run(command=[program("acceptor"), "--tag", "g1", "--model=prefork",
                                    f"--port={port}"])
    client = load(f"127.0.0.1:{port}", rate=0, persistent=2, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 4)
    instance.signal(signal.SIGSTOP)
    processes.kill([next(process.pid for process in instance.tagged("g1")
                         if processes.name(process.parent) == "moult-keeper")])
    resume(instance, signal.SIGTERM)
    wait_state(instance, "draining")
    answered = client.report()["persistent"]["answered"]
    client.wait(lambda report: report["persistent"]["answered"] >= answered + 4)
    client.close_persistent()
    assert instance.wait_ended() == 0
    assert not client.stop().losses
    assert_none_left(instance)


def test_the_current_generation_dies_while_the_former_one_is_stopping(moult, port):
    """The former one has its stop signal and does not serve again.  New clients are refused, and
    the instance ends with it."""
    instance = moult().run("--kill-after=4s", command=waiter(
        "g1", port, f"--report-signal={int(signal.SIGTERM)}"))
    instance.upgrade(command=waiter("g2", port))
    instance.wait_log("waiter g1: signal 15")
    processes.kill([instance.generation(2)["pid"]])
    wait_until(lambda: not listens("127.0.0.1", port), 10, instance.log)
    assert instance.tagged("g1"), instance.log()
    assert_ends(instance, 1)
    assert "serves again" not in instance.log()


# ---- while an upgrade is under way ----

def at_probation(instance, place, options=(), gates=2):
    """An upgrade to g2 whose switch has just been made; the launcher is stopped."""
    upgrade = begin_upgrade(instance, stages("g2", place.word("serve", "g2")), *options)
    wait_until(lambda: place.row(instance)["adopted"], 10, instance.log)
    with at_the_switch(instance, gates):
        place.step("serve", "g2")
    return upgrade


OVERLAP = pytest.mark.parametrize("options, gates", [((), 2), (("--no-overlap",), 1)],
                                  ids=["overlap", "no-overlap"])


@OVERLAP
def test_a_stop_in_the_probation_completes_the_upgrade(moult, places, connect, options, gates):
    """The new generation is the current one, and is what drains: the upgrade that the operator
    has asked for has been made.  Its command succeeds, and it is counted."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    upgrade = at_probation(instance, first, options, gates)
    client = connect(int(first.where)).ask(b"hel")
    resume(instance, signal.SIGTERM)
    wait_state(instance, "draining")
    upgrades = instance.status()["upgrades"]
    assert client.ask(b"lo\n").last_answer() == "g2"
    assert_ends(instance, 0)
    ended(upgrade, 0)
    assert (upgrades["completed"], upgrades["failed"]) == (1, 0)
    assert upgrades["last"]["result"] == "completed" and upgrades["last"]["generation"] == 2


@OVERLAP
@STOPS
def test_a_stop_in_the_probation(moult, places, connect, options, gates, number):
    """Both generations end; `stop` lets each finish its clients first."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    held = connect(int(first.where)).ask()
    assert held.answer() == "g1"
    if options:
        held.close()
    upgrade = at_probation(instance, first, options, gates)
    waiting = connect(int(first.where)).ask()
    resume(instance, number)
    if number == signal.SIGTERM:
        assert waiting.last_answer() == "g2"
        if not options:
            wait_state(instance, "draining")
            assert held.ask().answer() == "g1"
            held.close()
    assert_ends(instance, 0)
    upgrade.communicate(timeout=20)


@STOPS
def test_a_stop_while_a_failed_version_is_being_killed(moult, port, connect, number):
    """The current generation finishes its clients, as at any stop."""
    instance = moult().run("--ready-timeout=1500ms", command=waiter("g1", port))
    upgrade = begin_upgrade(instance, waiter("bad", port, "--fail=hang"))
    with without_end(instance, 2):
        instance.wait_log("generation 2: not ready within")
        held = connect(port).ask(b"hel")
        instance.wait_generation(1, lambda generation: generation["accepted"] == 1)
        instance.signal(number)
        if number == signal.SIGTERM:
            wait_state(instance, "draining")
            assert held.ask(b"lo\n").last_answer() == "g1"
        ended(upgrade, 1)
    assert_ends(instance, 0)


def test_a_stop_when_the_old_generation_has_its_stop_signal(moult, port, only, place):
    """--no-overlap: the old generation cannot serve again, and the next one is not started."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}",
                                                        "--stop-delay=1500"))
    upgrade = begin(instance, only("g2", f"--port={port}"))
    instance.wait_log("generation 1: stopping by SIGTERM")
    instance.signal(signal.SIGTERM)
    ended(upgrade, 1)
    assert_ends(instance, 0)
    assert owners(place) == ["g1"]


@STOPS
def test_a_stop_before_the_old_program_is_started_again(moult, port, only, place, number):
    """--no-overlap: the failed version is being killed, and then nothing more is started."""
    instance = moult().run("--no-overlap", "--ready-timeout=1500ms",
                           command=only("g1", f"--port={port}"))
    upgrade = begin_upgrade(instance, only("bad", f"--port={port}", "--fail=hang"))
    with without_end(instance, 2):
        instance.wait_log("generation 2: not ready within")
        instance.signal(number)
        ended(upgrade, 1)
    assert_ends(instance, 0)
    assert owners(place) == ["g1"]
    assert "generation 3: started" not in instance.log()


@STOPS
def test_a_stop_while_the_old_program_starts_again(moult, port, only, connect, flag, number):
    """--no-overlap: it serves who waits, ready or not; `stop --now` ends it."""
    flag.touch()
    instance = moult().run("--no-overlap", command=once(flag, only("g1", f"--port={port}")))
    flag.unlink()
    upgrade = instance.start_command("upgrade", instance.name, "--", *only(
        "bad", f"--port={port}", "--fail=exit1"))
    instance.wait_log("generation 3: started")
    waiting = connect(port).ask()
    instance.signal(number)
    ended(upgrade, 1)
    flag.touch()
    if number == signal.SIGTERM:
        assert waiting.last_answer() == "g1"
    assert_ends(instance, 0)


@STOPS
def test_a_stop_while_a_crashed_program_starts_again(moult, port, connect, flag, number):
    """Nobody else lives, and clients wait."""
    flag.touch()
    instance = moult().run("--restart=always", command=once(flag, waiter("g1", port)))
    flag.unlink()
    processes.kill([instance.generation(1)["pid"]])
    instance.wait_log("generation 2: started")
    waiting = connect(port).ask()
    instance.signal(number)
    if number == signal.SIGTERM:
        wait_state(instance, "draining")
        flag.touch()
        assert waiting.last_answer() == "g1"
    assert_ends(instance, 0)
    assert "generation 3: started" not in instance.log()


# ---- what an abandoned version has changed ----

CHMOD = """
import os, signal, socket, sys
path, mode, serves = sys.argv[1], int(sys.argv[2], 8), sys.argv[3] == "serve"
listener = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
listener.bind(path)
os.chmod(path, mode)
listener.listen()
while serves:
    with listener.accept()[0] as connection:
        while connection.recv(100):
            connection.sendall(b"GEN g1\\n")
signal.pause()
"""


def test_an_abandoned_upgrade_leaves_the_mode_of_a_path(moult, directory, connect):
    """The abandoned version has opened the path to everybody; the current one, which has not,
    still serves a client there."""
    path = directory / "socket"

    def command(mode, how):
        return ["/usr/bin/python3", "-c", CHMOD, str(path), mode, how]
    instance = moult().run(command=command("600", "serve"))
    held = connect(path).ask()
    assert held.answer() == "g1"
    upgrade = begin_upgrade(instance, command("666", "hang"))
    wait_until(lambda: path.stat().st_mode & 0o777 == 0o666, 10, instance.log)
    instance.signal(signal.SIGTERM)
    ended(upgrade, 1)
    wait_state(instance, "draining")
    assert held.ask().answer() == "g1"
    assert path.stat().st_mode & 0o777 == 0o600
    held.close()
    assert_ends(instance, 0)
