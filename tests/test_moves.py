# SPDX-License-Identifier: MIT
"""Each listener moves by itself: when the next generation waits for connections there."""

import os
import signal

import pytest

from harness import network, processes
from harness.build import program
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.waiting import wait_until

KINDS = ["tcp", "unix", "udp"]


class Place:
    """A place to listen at, with the files that make a generation bind it and serve there."""

    def __init__(self, directory, kind="tcp", name="place"):
        self.kind, self.directory, self.name = kind, directory, name
        self.where = str(directory / name) if kind == "unix" else str(network.new_port())

    def word(self, late="", tag="", *more):
        """`late` names the steps that wait for step(): "bind", "serve" or "bind serve"."""
        steps = [f"{step}={self.directory}/{self.name}-{step}-{tag}" for step in late.split()]
        return ",".join([f"{self.kind}:{self.where}", *steps, *more])

    def step(self, step, tag):
        (self.directory / f"{self.name}-{step}-{tag}").touch()

    @property
    def target(self):
        return {"tcp": f"127.0.0.1:{self.where}", "udp": f"udp:127.0.0.1:{self.where}",
                "unix": f"unix:{self.where}"}[self.kind]

    def row(self, instance):
        """Its part of the status, or None."""
        for row in instance.status()["listeners"]:
            if row["address"].endswith(self.where):
                return row
        return None

    def wait_with(self, instance, generation):
        wait_until(lambda: (self.row(instance) or {}).get("generation") == generation, 10,
                   lambda: f"{instance.status()}\n{instance.log()}")


def stages(tag, *words):
    return [program("stages"), "--tag", tag, *words]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def places(directory):
    return Place(directory, name="first"), Place(directory, name="second")


# ---- before the switch ----

@pytest.mark.parametrize("block", [(), ("--block",)], ids=["poll", "block"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_still_loads_is_not_ready(moult, load, directory, kind, block):
    """It serves its administrator already, and the main port is bound: whose clients do not wait
    while the caches are read."""
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


def test_it_is_said_where_nobody_waits(moult, load, places):
    """An upgrade that is not ready in time names the listener, and nothing has moved."""
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
def test_what_nobody_has_ever_served_is_not_waited_for(moult, directory, kind):
    """Neither by the first generation, after a while, nor by the next, at all."""
    main, unused = Place(directory), Place(directory, kind, "unused")

    def command(tag):
        return stages(tag, main.word(), unused.word("serve", "never"))
    instance = moult().run("--ready-timeout=40s", command=command("g1"))
    instance.upgrade("--ready-timeout=4s", command=command("g2"))
    assert ask(int(main.where)).startswith("GEN g2 ")
    instance.wait_alone()
    assert "not ready" not in instance.log()
    instance.stop()


# ---- after it ----

@pytest.mark.parametrize("block", [(), ("--block",)], ids=["poll", "block"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_late_one_stays_until_it_is_served(moult, load, directory, kind, block):
    """The upgrade is done with the first port; at the second the old generation goes on, also when
    the new one has bound it, until that one waits there."""
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


def test_many_late_ones_one_by_one(moult, load, directory):
    """Each of these short switches closes for a moment what stays, too; nobody notices."""
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
def test_two_services_of_one_shell(moult, load, places, block):
    """Each starts by itself, the second a good deal later, at the first start already."""
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
def test_a_dropped_one_is_waited_for_by_nobody(moult, load, directory, kind):
    """The upgrade is done at once; the port is served until the time is over, and then refused; no
    connection to it is reset."""
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


def test_it_moves_in_the_end_though_nobody_waits(moult, load, places):
    """It has been taken up, and the old one's time is over: its clients wait for the new one, they
    are not refused, nor accepted by one that may be told to stop at any moment."""
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


# ---- the drain meanwhile ----

def test_the_deadline_of_the_drain_does_not_refuse_anybody(moult, load, places):
    """It is long over; the generation has a listener to serve, and keeps its connections so long."""
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


def test_the_drain_signal_comes_when_nothing_is_left_to_serve(moult, load, places):
    """A daemon may close its listeners when it gets it."""
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


def test_stop_does_not_wait_for_a_late_one(moult, places):
    """What is left with an old generation ends with everything else."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    assert ask(int(second.where)).startswith("GEN g1 ")
    instance.stop()
    assert not processes.descendants(), instance.log()


# ---- roll-back, and further upgrades ----

def test_a_roll_back_with_one_that_has_not_moved(moult, load, places):
    """It dies of its first client: what had moved goes back, the other had never moved."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    clients = load(first.target, rate=200), load(second.target, rate=200)
    for client in clients:
        client.wait_answers(20)
    result = instance.upgrade(expect=1, command=stages(
        "bad", first.word("", "", "fatal"), second.word("bind", "bad")))
    assert "after it was ready; generation 1 still serves" in result.stderr
    for client in clients:
        client.wait_answers(50, "g1")
    assert set(clients[0].stop().losses) <= {"cut", "reset"}
    result = clients[1].stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1"]
    instance.stop()


def test_a_roll_back_to_two_generations(moult, load, places):
    """The third one takes a listener from each of the two before it, and gives each its own back: to the
    first also what the second has bound, and does not serve yet."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind serve", "g2")))
    clients = load(first.target, rate=200), load(second.target, rate=200)
    clients[0].wait_answers(20, "g2")
    second.step("bind", "g2")
    wait_until(lambda: second.row(instance)["adopted"], 10, instance.log)
    clients[1].wait_answers(20, "g1")
    result = instance.upgrade(expect=1, command=stages(
        "bad", first.word("", "", "fatal"), second.word("", "", "fatal")))
    assert "generation 2 still serves" in result.stderr
    clients[0].wait_answers(50, "g2")
    clients[1].wait_answers(50, "g1")
    second.step("serve", "g2")
    clients[1].wait_answers(50, "g2")
    for client in clients:
        assert set(client.stop().losses) <= {"cut", "reset"}
    instance.wait_gone(1)
    instance.stop()


def test_one_that_dies_later_gives_back_what_it_had(moult, load, places):
    """Its probation is over; the old one has a listener left, and so is there to take the other."""
    first, second = places
    instance = moult().run("--retire-after=30s", command=stages(
        "g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    clients = load(first.target, rate=200), load(second.target, rate=200)
    clients[0].wait_answers(20, "g2")
    clients[1].wait_answers(20, "g1")
    processes.kill([instance.generation(2)["pid"]])
    instance.wait_log("generation 1: serves again")
    for client in clients:
        client.wait_answers(50, "g1")
    assert set(clients[0].stop().losses) <= {"cut", "reset"}
    assert_nothing_lost(clients[1].stop())
    instance.stop()


@pytest.mark.parametrize("block", [(), ("--block",)], ids=["poll", "block"])
def test_a_further_upgrade_takes_from_both(moult, load, places, block):
    """What has stayed with the first generation moves to the third."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word(), *block))
    clients = load(first.target, rate=200), load(second.target, rate=200)
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2"), *block))
    clients[0].wait_answers(20, "g2")
    clients[1].wait_answers(20, "g1")
    instance.upgrade(command=stages("g3", first.word(), second.word(), *block))
    for client in clients:
        client.wait_answers(50, "g3")
        assert_nothing_lost(client.stop())
    instance.wait_alone()
    instance.stop("--now")


def test_a_further_upgrade_waits_for_it_again(moult, load, places):
    """The third generation is late as well: its time begins with its own switch."""
    first, second = places
    instance = moult().run("--retire-after=2s", command=stages(
        "g1", first.word(), second.word()))
    client = load(second.target, rate=200)
    client.wait_answers(20, "g1")
    for tag in ("g2", "g3"):
        instance.upgrade(command=stages(tag, first.word(), second.word("bind", tag)))
        client.wait_answers(250, "g1")
    second.step("bind", "g3")
    client.wait_answers(20, "g3")
    instance.wait_alone()
    assert_nothing_lost(client.stop())
    instance.stop()


# ---- other ways to be ready, and not to overlap ----

def test_one_that_says_it_is_ready_is_believed(moult, directory, places):
    """For what it holds then, though nobody is seen to wait; what it binds later, when somebody is."""
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


@pytest.mark.parametrize("kind", KINDS)
def test_without_overlap_clients_wait_in_the_queue(moult, load, directory, kind):
    """Nobody is there with whom it could stay; it is kept all the same."""
    first, second = Place(directory), Place(directory, kind, "second")
    instance = moult().run("--no-overlap", command=stages("g1", first.word(), second.word()))
    client = load(second.target, rate=20)
    client.wait_answers(10, "g1")
    said = instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2"))).stderr
    assert "1 listener stays open, without anybody who accepts, for up to 1 min: " in said
    assert second.row(instance)["generation"] is None
    second.step("bind", "g2")
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop("--now")


def test_without_overlap_a_dropped_one_ends_in_the_end(moult, places):
    first, second = places
    instance = moult().run("--no-overlap", "--retire-after=500ms", command=stages(
        "g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word()))
    wait_until(lambda: not listens("127.0.0.1", int(second.where)), 10, instance.log)
    assert ask(int(first.where)).startswith("GEN g2 ")
    assert second.row(instance) is None
    instance.stop()


def test_an_old_one_that_has_died_leaves_its_queue(moult, places):
    """Killed while a listener had stayed with it: clients wait for the current one to bind it."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    processes.kill([process.pid for process in instance.tagged("g1")])
    instance.wait_gone(1)
    assert listens("127.0.0.1", int(second.where))
    second.step("bind", "g2")
    assert ask(int(second.where)).startswith("GEN g2 ")
    instance.stop()


# ---- two races ----

def test_a_flag_that_is_set_during_the_switch(moult):
    """O_NONBLOCK of each listener is set between the launcher's look at what is wanted and its
    opening of the gate, if a program can hit that moment: it holds."""
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


def test_a_connection_that_changes_hands_is_not_lost_to_sight(moult, load, port):
    """A count that begins with the one process and ends with the other may see it with neither, often:
    but the kernel lists it, so it is looked for again."""
    def command(tag):
        return [program("potato"), "--tag", tag, f"--port={port}"]
    instance = moult().run(command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=0, persistent=1, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 5)
    instance.upgrade(command=command("g2"))
    instance.wait_generation(1, lambda old: old and old["state"] == "draining")
    client.wait(lambda report: report["persistent"]["answered"] >= 205, deadline=30)
    assert instance.generation(1)["state"] == "draining"
    client.close_persistent()
    result = client.stop()
    assert not result.losses, result.explain()
    instance.stop("--now")
