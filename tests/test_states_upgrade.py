# SPDX-License-Identifier: MIT
"""Further upgrades, failures and deaths in each state of an upgrade."""

import re
import signal
import socket

import pytest

from harness import processes
from harness.network import ask, listens
from harness.no_overlap import connect, ended, only, place
from harness.places import places, stages
from harness.states import (assert_ends, at_the_switch, begin_upgrade, closes, hold, once, resume,
                            without_end)
from harness.waiter import waiter
from harness.waiting import wait_until


@pytest.fixture
def flag(directory):
    return directory / "flag"


def counts(instance):
    upgrades = instance.status()["upgrades"]
    return upgrades["completed"], upgrades["failed"]


def begin_with_late(instance, place, tag, *more, options=()):
    """An upgrade to a generation that has bound.  It serves after place.step("serve", TAG)."""
    upgrade = begin_upgrade(instance, stages(tag, place.word("serve", tag, *more)), *options)
    number = max(generation["id"] for generation in instance.status()["generations"])
    instance.wait_generation(number, lambda generation: place.row(instance)["adopted"])
    return upgrade


# ---- a second upgrade ----

@pytest.mark.parametrize("options, gates", [((), 2), (("--no-overlap",), 1)],
                         ids=["overlap", "no-overlap"])
def test_an_upgrade_in_the_probation_of_another(moult, places, options, gates):
    """It is refused as busy, and the first one goes on."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    upgrade = begin_with_late(instance, first, "g2", options=options)
    with at_the_switch(instance, gates):
        first.step("serve", "g2")
    resume(instance, signal.SIGHUP)
    instance.wait_log(r"another upgrade is running \(generation 2\)")
    ended(upgrade, 0)
    assert ask(int(first.where)).startswith("GEN g2 ")
    assert counts(instance) == (1, 0)
    instance.stop()


@pytest.mark.parametrize("options, state", [((), "serving"), (("--no-overlap",), "starting")],
                         ids=["overlap", "no-overlap"])
def test_an_upgrade_while_a_failed_version_is_being_killed(moult, port, connect, options, state):
    """It is refused as busy.  Without overlap no generation serves, and a client waits for the old
    program."""
    instance = moult().run("--ready-timeout=1500ms", command=waiter("g1", port))
    upgrade = begin_upgrade(instance, waiter("bad", port, "--fail=hang"), *options)
    with without_end(instance, 2):
        instance.wait_log("generation 2: not ready within")
        client = connect(port).ask()
        result = instance.upgrade(command=waiter("g9", port), expect=75)
        assert "another upgrade is running (generation 2)" in result.stderr
        assert instance.status()["state"] == state
        assert upgrade.poll() is None
    ended(upgrade, 1)
    assert client.last_answer() == "g1"
    assert counts(instance) == (0, 1)
    instance.stop()


def test_an_upgrade_while_the_old_program_starts_again(moult, port, only, connect, flag):
    """--no-overlap: it is refused as busy."""
    flag.touch()
    instance = moult().run("--no-overlap", command=once(flag, only("g1", f"--port={port}")))
    flag.unlink()
    upgrade = instance.start_command("upgrade", instance.name, "--", *only(
        "bad", f"--port={port}", "--fail=exit1"))
    instance.wait_log("generation 3: started")
    result = instance.upgrade(command=only("g9", f"--port={port}"), expect=75)
    assert "another upgrade is running (generation 3)" in result.stderr
    client = connect(port).ask()
    flag.touch()
    ended(upgrade, 1)
    assert client.last_answer() == "g1"
    assert counts(instance) == (0, 1)
    instance.stop()


def test_the_old_program_is_not_ready_in_time_when_it_starts_again(
        moult, port, only, connect, flag):
    """--no-overlap: it goes on, as at its first start, and serves as soon as it can."""
    flag.touch()
    instance = moult().run("--no-overlap", "--ready-timeout=500ms",
                           command=once(flag, only("g1", f"--port={port}")))
    flag.unlink()
    result = instance.upgrade(command=only("bad", f"--port={port}", "--fail=exit1"), expect=1)
    assert "generation 3: not ready after 500 ms" in result.stderr
    client = connect(port).ask()
    flag.touch()
    assert client.last_answer() == "g1"
    assert [generation["state"] for generation in instance.status()["generations"]] == ["current"]
    instance.stop()


@pytest.mark.parametrize("options, serves", [((), 1), (("--no-overlap",), 3)],
                         ids=["overlap", "no-overlap"])
def test_the_new_generation_cannot_listen_at_the_switch(
        moult, port, flag, connect, options, serves):
    """It has bound a wider address beside the current one, and another program listens at a part
    of that meanwhile.  The upgrade fails, and the version that worked serves."""
    instance = moult().run(command=waiter("g1", port, "--host=127.0.0.1"))
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.2", port))
        says_so = '"$@" & until test -e "$0"; do sleep 0.01; done; echo >&9; wait'
        upgrade = begin_upgrade(instance, ["sh", "-c", says_so, flag, *waiter(
            "g2", port, "--host=0.0.0.0")], *options, "--ready=fd=9")
        wait_until(lambda: len(instance.status()["listeners"]) == 2, 10, instance.log)
        stranger.listen()
        flag.touch()
        assert "Address already in use" in ended(upgrade, 1)
        assert connect(port).ask().last_answer() == "g1"
        status = instance.status()
        assert [generation["id"] for generation in status["generations"]] == [serves]
        assert [row["address"] for row in status["listeners"]] == [f"tcp:127.0.0.1:{port}"]
    instance.stop()


# ---- the current generation, or the one before it, dies ----

def test_the_current_generation_dies_while_the_next_one_starts_and_an_older_one_drains(
        moult, places, connect):
    """The older one serves until the next one is ready."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    held = hold(connect, instance, first.where, 1)
    instance.upgrade(command=stages("g2", first.word()))
    upgrade = begin_with_late(instance, first, "g3")
    processes.kill([instance.generation(2)["pid"]])
    assert connect(int(first.where)).ask().last_answer() == "g1"
    assert instance.status()["state"] == "serving"
    first.step("serve", "g3")
    ended(upgrade, 0)
    assert connect(int(first.where)).ask().last_answer() == "g3"
    assert held.ask().answer() == "g1"
    held.close()
    instance.wait_alone()
    assert counts(instance) == (2, 0)
    instance.stop()


@pytest.mark.parametrize("policy", ["no", "always"])
def test_the_current_generation_dies_while_a_failed_version_is_being_killed(
        moult, port, connect, policy):
    """With --restart the program that worked is started again.  Without, the instance ends."""
    instance = moult().run(f"--restart={policy}", "--ready-timeout=1500ms",
                           command=waiter("g1", port))
    upgrade = begin_upgrade(instance, waiter("bad", port, "--fail=hang"))
    with without_end(instance, 2):
        instance.wait_log("generation 2: not ready within")
        processes.kill([process.pid for process in instance.tagged("g1")])
        instance.wait_gone(1)
        client = connect(port).ask()
    ended(upgrade, 1)
    if policy == "no":
        assert_ends(instance, 1)
        return
    assert client.last_answer() == "g1"
    assert not instance.tagged("bad")
    instance.wait_serving()
    instance.stop()


def fail_with_a_dead_predecessor(instance, place):
    """An upgrade to g3, which switches.  Then g2 is killed, and after it g3.  The launcher, which
    was stopped, finds both: first g2, which it has started earlier.  No report says that g3 has
    ended, for its keeper was killed before; reports may come in another order."""
    upgrade = begin_with_late(instance, place, "g3")
    (old,), (new,) = instance.tagged("g2"), instance.tagged("g3")
    with at_the_switch(instance):
        place.step("serve", "g3")
    processes.kill([old.pid])
    wait_until(lambda: not processes.alive(old.parent), 10, instance.log)
    processes.kill([new.parent])
    processes.kill([new.pid])
    resume(instance)
    return upgrade


def test_a_roll_back_when_the_former_generation_has_died_and_an_older_one_drains(
        moult, places, connect):
    """The older one serves again."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    held = hold(connect, instance, first.where, 1)
    instance.upgrade(command=stages("g2", first.word()))
    ended(fail_with_a_dead_predecessor(instance, first), 1)
    assert connect(int(first.where)).ask().last_answer() == "g1"
    assert held.ask().answer() == "g1"
    status = instance.status()
    assert (status["state"], [g["id"] for g in status["generations"]]) == ("serving", [1])
    instance.stop("--now")


def test_a_roll_back_when_the_former_generation_has_died_and_no_other_is_left(moult, places):
    """Without --restart the instance ends, as after any crash."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    instance.upgrade(command=stages("g2", first.word()))
    instance.wait_alone()
    ended(fail_with_a_dead_predecessor(instance, first), 1)
    assert_ends(instance, 1)
    assert not listens("127.0.0.1", int(first.where))


def test_a_restart_after_a_roll_back_that_finds_no_former_generation(moult, places, connect):
    """With --restart the program that worked last is started, not the one that has just failed."""
    first, _ = places
    instance = moult().run("--restart=always", command=stages("g1", first.word()))
    instance.upgrade(command=stages("g2", first.word()))
    instance.wait_alone()
    ended(fail_with_a_dead_predecessor(instance, first), 1)
    wait_until(lambda: instance.tagged("g2") or instance.tagged("g3"), 10, instance.log)
    assert connect(int(first.where)).ask().last_answer() == "g2"
    instance.wait_serving()
    instance.upgrade()
    assert connect(int(first.where)).ask().last_answer() == "g2"
    instance.stop()


# ---- a generation that has got its drain signal ----

@pytest.mark.parametrize("policy", [
    "no",
    "always"])
def test_a_generation_that_has_closed_its_listener_does_not_serve_again(
        moult, port, connect, policy):
    """The current generation dies.  With --restart clients wait for the next one; without, they
    are refused.  The client of the old generation is served to its end."""
    instance = moult().run("--drain-signal=USR1", f"--restart={policy}", command=closes("g1", port))
    held = hold(connect, instance, port, 1)
    instance.upgrade(command=waiter("g2", port))
    instance.wait_log("g1 has closed its listener")
    processes.kill([process.pid for process in instance.tagged("g2")])
    if policy == "always":
        assert connect(port).ask().last_answer() == "g2"
        assert held.ask().answer() == "g1"
        held.close()
        instance.wait_alone()
        instance.stop()
        return
    wait_until(lambda: not listens("127.0.0.1", port), 10, instance.log)
    assert held.ask().answer() == "g1"
    held.close()
    assert_ends(instance, 1)


def test_a_roll_back_after_an_older_generation_has_closed_its_listener(moult, port, connect):
    """The former generation serves again, not the older one, which still has a client."""
    instance = moult().run("--drain-signal=USR1", command=closes("g1", port))
    held = hold(connect, instance, port, 1)
    instance.upgrade(command=waiter("g2", port))
    instance.wait_log("g1 has closed its listener")
    instance.upgrade(command=waiter("g3", port, "--fail=die-soon", "--fail-at=waiting"), expect=1)
    assert connect(port).ask().last_answer() == "g2"
    assert held.ask().answer() == "g1"
    instance.stop("--now")


def test_a_roll_back_finds_only_a_generation_that_has_closed_its_listener(moult, places, connect):
    """The former generation has died in the probation.  With --restart the program that worked
    last is started, and clients wait for it."""
    first, _ = places
    port = int(first.where)
    instance = moult().run("--drain-signal=USR1", "--restart=always", command=closes("g1", port))
    held = hold(connect, instance, port, 1)
    instance.upgrade(command=closes("g2", port))
    instance.wait_log("g1 has closed its listener")
    ended(fail_with_a_dead_predecessor(instance, first), 1)
    assert connect(port).ask().answer() == "g2"
    assert held.ask().answer() == "g1"
    instance.stop("--now")


# ---- too many generations ----

def test_a_listener_has_stayed_with_the_generation_that_is_one_too_many(moult, places, connect):
    """--max-draining ends the oldest generation.  Clients of the listener that it has kept wait
    until the current generation takes it."""
    first, second = places
    instance = moult().run("--max-draining=1", command=stages("g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    held = hold(connect, instance, first.where, 2)
    assert connect(int(second.where)).ask().last_answer() == "g1"
    instance.upgrade(command=stages("g3", first.word(), second.word("bind", "g3")))
    instance.wait_gone(1)
    waiting = connect(int(second.where)).ask()
    second.step("bind", "g3")
    assert waiting.last_answer() == "g3"
    assert held.ask().answer() == "g2"
    held.close()
    instance.wait_alone()
    instance.stop()


# ---- --no-overlap after a crash ----

def test_how_long_clients_have_waited_after_a_crash(moult, port, only, connect):
    """What the launcher says begins at the last instant at which somebody could accept: so it is
    longer than the pause before the restart, which it has announced."""
    command = ["sh", "-c", 'sleep 1000 & exec "$@"', "sh", *only("g1", f"--port={port}")]
    instance = moult().run("--no-overlap", "--restart=always", command=command)
    for number, pause in enumerate(("100 ms", "200 ms", "400 ms", "800 ms", r"1\.6 s"), 1):
        instance.wait_generation(number, lambda generation: generation and
                                 generation["state"] == "current")
        start = len(instance.log())
        processes.kill([instance.generation(number)["pid"]])
        instance.wait_log(f"starting again in {pause}", start=start)
    client = connect(port).ask()
    instance.wait_log("generation 6: clients have waited for up to")
    waited, unit = re.search(r"generation 6: clients have waited for up to ([\d.]+) (m?s)",
                             instance.log()).groups()
    assert float(waited) * (0.001 if unit == "ms" else 1) >= 1.6
    assert client.last_answer() == "g1"
    instance.stop("--now")
