# SPDX-License-Identifier: MIT
"""A listener that has not moved yet: roll-backs, further upgrades, deaths, and --no-overlap."""

import pytest

from harness import processes
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.places import KINDS, Place, places, stages
from harness.waiting import wait_until


# ---- roll-back, and further upgrades ----

def test_a_roll_back_while_a_listener_has_not_moved(moult, load, places):
    """The new version dies of its first client.  The listener that had moved goes back; the other
    one had not moved."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    clients = load(first.target, rate=200), load(second.target, rate=200)
    for client in clients:
        client.wait_answers(20)
    result = instance.upgrade(expect=1, command=stages(
        "bad", first.word("", "", "fatal"), second.word("bind", "bad")))
    assert "after it was ready; generation 1 serves again" in result.stderr
    for client in clients:
        client.wait_answers(50, "g1")
    assert set(clients[0].stop().losses) <= {"cut", "reset"}
    result = clients[1].stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1"]
    instance.stop()


def test_a_roll_back_to_two_generations(moult, load, places):
    """The third generation takes one listener from each of the two before it, and gives each
    listener back.  The first generation also gets back the listener that the second one has bound
    but does not serve yet."""
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
    assert "generation 2 serves again" in result.stderr
    clients[0].wait_answers(50, "g2")
    clients[1].wait_answers(50, "g1")
    second.step("serve", "g2")
    clients[1].wait_answers(50, "g2")
    for client in clients:
        assert set(client.stop().losses) <= {"cut", "reset"}
    instance.wait_gone(1)
    instance.stop()


def test_a_generation_that_dies_after_its_probation_gives_its_listener_back(moult, load, places):
    """The old generation still serves the other listener, so it can take back this one."""
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
def test_a_further_upgrade_takes_listeners_from_both_generations(moult, load, places, block):
    """The listener that has stayed with the first generation moves to the third."""
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


def test_a_further_upgrade_starts_the_time_of_a_stay_again(moult, load, places):
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


def test_an_old_generation_that_dies_leaves_the_queue_of_its_listener(moult, places):
    """Clients wait until the current generation binds it."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2")))
    processes.kill([process.pid for process in instance.tagged("g1")])
    instance.wait_gone(1)
    assert listens("127.0.0.1", int(second.where))
    second.step("bind", "g2")
    assert ask(int(second.where)).startswith("GEN g2 ")
    instance.stop()


# ---- without overlap ----

@pytest.mark.parametrize("kind", KINDS)
def test_without_overlap_clients_wait_in_the_queue(moult, load, directory, kind):
    """No generation serves the listener meanwhile; the launcher keeps it."""
    first, second = Place(directory), Place(directory, kind, "second")
    instance = moult().run("--no-overlap", command=stages("g1", first.word(), second.word()))
    client = load(second.target, rate=20)
    client.wait_answers(10, "g1")
    said = instance.upgrade(command=stages("g2", first.word(), second.word("bind", "g2"))).stderr
    assert "1 listener stays open, though no generation accepts there, for up to 1 min: " in said
    assert second.row(instance)["generation"] is None
    second.step("bind", "g2")
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop("--now")


def test_without_overlap_a_dropped_listener_is_closed_when_its_time_is_over(moult, places):
    first, second = places
    instance = moult().run("--no-overlap", "--retire-after=500ms", command=stages(
        "g1", first.word(), second.word()))
    instance.upgrade(command=stages("g2", first.word()))
    wait_until(lambda: not listens("127.0.0.1", int(second.where)), 10, instance.log)
    assert ask(int(first.where)).startswith("GEN g2 ")
    assert second.row(instance) is None
    instance.stop()
