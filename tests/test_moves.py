# SPDX-License-Identifier: MIT
"""Each listener moves by itself: when a process of the next generation waits for connections
there."""

import os
import signal

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost
from harness.network import ask
from harness.places import KINDS, Place, places, stages
from harness.waiting import wait_until


# ---- before the switch ----

@pytest.mark.parametrize("block", [(), ("--block",)], ids=["poll", "block"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_generation_that_does_not_wait_at_its_main_port_is_not_ready(moult, load, directory, kind, block):
    """The generation serves its administrator and has bound the main port, but still reads its
    caches.  Clients of the main port do not have to wait for that."""
    main, admin = Place(directory, kind, "main"), Place(directory, name="admin")
    instance = moult().run(command=stages("g1", main.word(), admin.word(), *block))
    client = load(main.target, rate=300)
    client.wait_answers(50, "g1")
    upgrade = instance.start_command("upgrade", instance.name, "--", *stages(
        "g2", main.word("serve", "g2"), admin.word(), *block))
    wait_until(lambda: main.row(instance)["adopted"] and admin.row(instance)["adopted"], 10,
               instance.status)
    client.wait_answers(100, "g1")
    assert ask(int(admin.where)).startswith("GEN g1 ")
    assert upgrade.poll() is None
    main.step("serve", "g2")
    _, err = upgrade.communicate(timeout=20)
    assert upgrade.returncode == 0, err
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1", "g2"]
    instance.stop("--now")


def test_an_upgrade_that_fails_names_the_listener_where_no_process_waits(moult, load, places):
    """No listener has moved."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    client = load([first.target, second.target], rate=300)
    client.wait_answers(50)
    result = instance.upgrade("--ready-timeout=700ms", expect=1, command=stages(
        "bad", first.word(), second.word("serve", "bad")))
    assert f"no process of it waits for connections at tcp:{second.target}" in result.stderr
    client.wait_answers(50, "g1")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1"]
    instance.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_that_no_generation_serves_is_not_waited_for(moult, directory, kind):
    """The first start waits for that listener for a while, later starts do not wait."""
    main, unused = Place(directory), Place(directory, kind, "unused")

    def command(tag):
        return stages(tag, main.word(), unused.word("serve", "never"))
    instance = moult().run("--ready-timeout=40s", command=command("g1"))
    instance.upgrade("--ready-timeout=4s", command=command("g2"))
    assert ask(int(main.where)).startswith("GEN g2 ")
    instance.wait_alone()
    assert "not ready" not in instance.log()
    instance.stop()


# ---- after the switch ----

@pytest.mark.parametrize("block", [(), ("--block",)], ids=["poll", "block"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_stays_with_the_old_generation_until_the_next_one_serves_it(moult, load, directory, kind, block):
    """The upgrade is complete with the first port.  The old generation goes on at the second port,
    even after the new generation has bound that port, until a new process waits for connections
    there."""
    first, second = Place(directory), Place(directory, kind, "second")
    instance = moult().run(command=stages("g1", first.word(), second.word(), *block))
    clients = load(first.target, rate=200), load(second.target, rate=200)
    for client in clients:
        client.wait_answers(50, "g1")
    said = instance.upgrade("--ready-timeout=20s", command=stages(
        "g2", first.word(), second.word("bind serve", "g2"), *block)).stderr
    assert "1 listener stays with generation 1 for up to 20 s: " in said
    clients[0].wait_answers(50, "g2")
    clients[1].wait_answers(50, "g1")
    row = second.row(instance)
    assert row["generation"] == 1 and 0 < row["retires_in_ms"] <= 20000 and not row["adopted"]
    assert "with generation 1 for up to " in instance.command("status", instance.name).stdout
    assert first.row(instance)["generation"] == 2
    second.step("bind", "g2")
    wait_until(lambda: second.row(instance)["adopted"], 10, instance.log)
    clients[1].wait_answers(100, "g1")
    assert second.row(instance)["generation"] == 1
    second.step("serve", "g2")
    clients[1].wait_answers(50, "g2")
    row = second.row(instance)
    assert row["generation"] == 2 and row["retires_in_ms"] is None
    instance.wait_gone(1)
    for client in clients:
        result = client.stop()
        assert_nothing_lost(result)
        assert list(result.tags) == ["g1", "g2"], result.explain()
    instance.stop("--now")


def test_many_listeners_move_one_by_one(moult, load, directory):
    """Each of these short switches also closes the gates of the listeners that stay, for a moment.
    No client notices."""
    places = [Place(directory, KINDS[n % 3], f"p{n}") for n in range(9)]
    instance = moult().run(command=stages("g1", *(p.word() for p in places), "--block"))
    client = load([p.target for p in places], rate=150)
    client.wait_answers(100, "g1")
    instance.upgrade(command=stages("g2", places[0].word(), *(
        p.word("bind", "g2") for p in places[1:]), "--block"))
    for n, place in enumerate(places[1:], 2):
        place.step("bind", "g2")
        place.wait_with(instance, 2)
        assert sum(p.row(instance)["generation"] == 2 for p in places) == n
        client.wait_answers(30)
    instance.wait_gone(1)
    client.wait_answers(50, "g2")
    assert_nothing_lost(client.stop())
    instance.stop("--now")


@pytest.mark.parametrize("block", [(), ("--block",)], ids=["poll", "block"])
def test_two_services_started_by_one_shell_move_separately(moult, load, places, block):
    """The two services start independently, the second much later; this is so at the first start,
    too."""
    def command(tag):
        words = [" ".join(stages(tag, *block, place)) for place in (
            places[0].word(), places[1].word("bind", tag))]
        return ["sh", "-c", f"{words[0]} & {words[1]} & wait"]
    instance = moult().run(command=command("g1"))
    places[1].step("bind", "g1")
    places[1].wait_with(instance, 1)
    clients = [load(place.target, rate=300) for place in places]
    for client in clients:
        client.wait_answers(20, "g1")
    for number, tag in enumerate(("g2", "g3"), 1):
        instance.upgrade(command=command(tag))
        clients[0].wait_answers(20, tag)
        clients[1].wait_answers(50, f"g{number}")
        places[1].step("bind", tag)
        clients[1].wait_answers(20, tag)
        instance.wait_gone(number)
    for client in clients:
        assert_nothing_lost(client.stop())
    instance.stop("--now")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_dropped_port_is_served_until_its_time_is_over(moult, load, directory, kind):
    """The upgrade does not wait for the port.  When its time is over, connections are refused, and
    none is reset."""
    main, dropped = Place(directory), Place(directory, kind, "dropped")
    instance = moult().run("--retire-after=1s", command=stages("g1", main.word(), dropped.word()))
    stays, leaves = load(main.target, rate=200), load(dropped.target, rate=200)
    stays.wait_answers(20)
    leaves.wait_answers(20)
    instance.upgrade(command=stages("g2", main.word()))
    assert instance.generation(1)["state"] == "draining"
    leaves.wait_answers(50, "g1")
    leaves.wait(lambda report: report["refused"] > 0, reason="it still listens")
    instance.wait_gone(1)
    result = leaves.stop()
    assert set(result.losses) <= {"refused"} and list(result.tags) == ["g1"], result.explain()
    assert_nothing_lost(stays.stop())
    assert dropped.row(instance) is None
    assert instance.log().index("retired") < instance.log().index("generation 1: drained")
    instance.stop()


def test_a_listener_that_is_bound_but_not_served_moves_when_its_time_is_over(moult, load, places):
    """Its clients then wait for the new generation.  They are not refused, and not accepted by an
    old generation that may be told to stop at any moment."""
    first, second = places
    instance = moult().run("--retire-after=700ms", command=stages(
        "g1", first.word(), second.word()))
    held = load(first.target, rate=0, persistent=1)
    held.wait(lambda report: report["persistent"]["answered"] >= 1)
    client = load(second.target, rate=50)
    client.wait_answers(20)
    instance.upgrade(command=stages("g2", first.word(), second.word("bind serve", "g2")))
    second.step("bind", "g2")
    second.wait_with(instance, 2)
    assert instance.generation(1)["state"] == "draining"
    held.close_persistent()
    instance.wait_gone(1)
    second.step("serve", "g2")
    client.wait_answers(50, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


# ---- the drain while a listener stays ----

def test_a_listener_that_stays_outlives_the_deadline_of_the_drain(moult, load, places):
    """The deadline is long over.  The old generation still serves a listener, and may keep its
    connections as long as it does."""
    first, second = places
    instance = moult().run("--drain-timeout=50ms", command=stages(
        "g1", first.word(), second.word()))
    held = load(first.target, rate=0, persistent=2, persistent_every=20)
    held.wait(lambda report: report["persistent"]["answered"] >= 2)
    client = load(second.target, rate=200)
    client.wait_answers(20)
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    before = held.report()["persistent"]["answered"]
    client.wait_answers(100, "g1")
    assert held.report()["persistent"]["answered"] > before
    second.step("bind", "g2")
    client.wait_answers(20, "g2")
    instance.wait_gone(1)
    assert "2 connections left after" in instance.log()
    held.wait(lambda report: report["persistent"]["lost"] == 2)
    assert_nothing_lost(client.stop())
    instance.stop()


def test_the_drain_signal_comes_when_the_last_listener_has_moved(moult, load, places):
    """A daemon may close its listeners when it gets the signal."""
    first, second = places
    instance = moult().run("--drain-signal=USR1", command=stages(
        "g1", first.word(), second.word(), "--signal"))
    client = load(second.target, rate=200)
    client.wait_answers(20)
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    client.wait_answers(50, "g1")
    assert "stages g1: signal" not in instance.log()
    second.step("bind", "g2")
    client.wait_answers(20, "g2")
    instance.wait_gone(1)
    assert instance.log().count(f"stages g1: signal {int(signal.SIGUSR1)}\n") == 1
    assert_nothing_lost(client.stop())
    instance.stop()


def test_stop_does_not_wait_for_a_listener_that_has_not_moved(moult, places):
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    assert ask(int(second.where)).startswith("GEN g1 ")
    instance.stop()
    assert not processes.descendants(), instance.log()


# ---- a daemon that reports its readiness ----

def test_a_generation_that_says_it_is_ready_gets_the_listeners_it_has_bound(moult, directory, places):
    """This holds although no process is seen to wait there.  A listener that the generation binds
    later moves when a process waits."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    word = directory / "ready"
    upgrade = instance.start_command("upgrade", instance.name, "--ready=notify", "--", *stages(
        "g2", first.word("serve", "g2"), second.word("bind serve", "g2"), f"--notify={word}"))
    wait_until(lambda: first.row(instance)["adopted"], 10, instance.log)
    assert ask(int(first.where)).startswith("GEN g1 ")
    word.touch()
    _, err = upgrade.communicate(timeout=20)
    assert upgrade.returncode == 0, err
    assert first.row(instance)["generation"] == 2
    first.step("serve", "g2")
    assert ask(int(first.where)).startswith("GEN g2 ")
    second.step("bind", "g2")
    wait_until(lambda: second.row(instance)["adopted"], 10, instance.log)
    assert ask(int(second.where)).startswith("GEN g1 ")
    second.step("serve", "g2")
    second.wait_with(instance, 2)
    assert ask(int(second.where)).startswith("GEN g2 ")
    instance.wait_gone(1)
    instance.stop()


# ---- a race ----

def test_a_flag_that_is_set_during_the_switch(moult):
    """The daemon tries to set O_NONBLOCK of each listener between the moment at which the launcher
    reads the wanted flags and the moment at which the gate opens.  The flag must hold."""
    ports, count = 31000, 300

    def command(tag):
        return [program("flipper"), "--tag", tag, str(ports), str(count)]
    instance = moult().run(command=command("g1"))
    for tag in ("g1", "g2", "g3", "g4", "g5", "g6"):
        if tag != "g1":
            instance.upgrade(command=command(tag))
        (process,) = instance.tagged(tag)
        wait_until(lambda pid=process.pid: len(os.listdir(f"/proc/{pid}/task")) == 1, 10, instance.log)
        os.kill(process.pid, signal.SIGUSR1)
        assert instance.wait_log(rf"flipper {tag}: (\d+) wrong")[1] == "0", instance.log()
    instance.wait_alone()
    instance.stop()
