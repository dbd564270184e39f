# SPDX-License-Identifier: MIT
"""A listener stays with the old generation, and something goes wrong meanwhile."""

import os
import signal
import socket
import threading

from harness.load import assert_nothing_lost
from harness.network import listens
from harness.places import places, stages
from harness.waiting import wait_until


def dial(place, text=b"hello\n"):
    connection = socket.create_connection(("127.0.0.1", int(place.where)), 10)
    connection.settimeout(10)
    connection.sendall(text)
    return connection


def held(instance, place):
    """A client of generation 1 that keeps the generation in the drain."""
    connection = socket.create_connection(("127.0.0.1", int(place.where)), 10)
    wait_until(lambda: instance.generation(1)["connections"] == 1, 10, instance.log)
    return connection


class Beside:
    """Runs instance.upgrade(...) while the test goes on; raises its failure if that is not
    expected."""

    def __init__(self, instance, *options, may_fail=False, **rest):
        self.error, self.may_fail = None, may_fail
        self.thread = threading.Thread(target=self._run, args=(instance, options, rest))
        self.thread.start()

    def _run(self, instance, options, rest):
        try:
            instance.upgrade(*options, **rest)
        except AssertionError as error:
            self.error = error

    def join(self):
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.error and not self.may_fail:
            raise self.error


def test_a_failed_upgrade_leaves_the_time_of_a_stay_as_it_was(moult, load, places):
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    instance.upgrade("--retire-after=60s",
                     command=stages("g2", first.word(), second.word("bind", "g2")))
    client = load(second.target, rate=100)
    client.wait_answers(20, "g1")
    requests = load(first.target, rate=50)  # the bad version dies of its first client
    requests.wait_answers(10, "g2")
    instance.upgrade("--retire-after=100ms", expect=1, command=stages(
        "bad", first.word("", "", "fatal"), second.word("bind", "bad")))
    assert second.row(instance)["retires_in_ms"] > 10000
    client.wait_answers(50, "g1")
    assert_nothing_lost(client.stop())
    requests.stop()  # some of these ended with the bad version
    instance.stop("--now")


def test_an_older_generation_drains_once(moult, places):
    """The generation that was to drain next dies in its probation.  An older one continues its
    drain."""
    first, _ = places
    instance = moult().run("--drain-timeout=100s", command=stages("g1", first.word()))
    with held(instance, first):
        instance.upgrade(command=stages("g2", first.word()))
        pid = instance.generation(2)["pid"]
        third = Beside(instance, command=stages("g3", first.word()))
        instance.wait_log("generation 3: took over")
        os.kill(pid, signal.SIGKILL)
        third.join()
        instance.wait_gone(2)
        assert instance.log().count("generation 1: draining") == 1
    instance.stop("--now")


def test_a_stop_serves_clients_that_wait_for_the_next_generation(moult, places):
    """The current generation has died, and the next one is not ready yet, but waits for
    connections."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word()))
    pid = instance.generation(1)["pid"]
    Beside(instance, may_fail=True,
           command=stages("g2", first.word(), second.word("serve", "g2")))
    wait_until(lambda: first.row(instance)["adopted"], 10, instance.log)
    os.kill(pid, signal.SIGKILL)
    instance.wait_gone(1)
    with dial(first) as waiting:
        stop = threading.Thread(target=instance.stop)
        stop.start()
        assert waiting.recv(100).startswith(b"GEN g2"), instance.log()
    stop.join(30)


def test_all_gates_are_closed_before_the_next_generation_starts(moult, places):
    """--no-overlap: this includes the gate of an older generation that has kept a listener."""
    first, second = places
    instance = moult().run(command=stages("g1", first.word(), second.word()))
    with held(instance, first):
        instance.upgrade(command=stages("g2", first.word()))
        third = Beside(instance, "--no-overlap", "--drain-timeout=30s",
                       command=stages("g3", first.word(), second.word()))
        instance.wait_log("new ones wait in the queue")
        waiting = dial(second)
    with waiting:
        assert waiting.recv(100).startswith(b"GEN g3"), instance.log()
    third.join()
    instance.stop("--now")


def test_a_gate_whose_time_has_just_passed_is_closed_too(moult, places):
    """The time of the stay ends during a failing upgrade, and an upgrade with --no-overlap follows
    at once."""
    first, second = places
    instance = moult().run("--retire-after=1s",
                           command=stages("g1", first.word(), second.word()))
    with held(instance, first):
        instance.upgrade(command=stages("g2", first.word()))
        instance.upgrade("--ready-timeout=1500ms", expect=1,
                         command=stages("bad", first.word("serve", "never")))
        third = Beside(instance, "--no-overlap", "--drain-timeout=5s",
                       command=stages("g4", first.word(), second.word()))
        instance.wait_log("new ones wait in the queue")
        if not listens("127.0.0.1", int(second.where)):  # it was retired before
            third.join()
            instance.stop("--now")
            return
        waiting = dial(second)
    with waiting:
        assert waiting.recv(100).startswith(b"GEN g4"), instance.log()
    third.join()
    instance.stop("--now")


def test_clients_queued_at_the_end_of_a_stay_are_served(moult, places):
    """The deadline of their generation is over by then, but the generation has a moment more for
    the queue."""
    first, second = places
    instance = moult().run("--retire-after=500ms", "--drain-timeout=100ms",
                           command=stages("g1", first.word(), second.word()))
    pid = instance.generation(1)["pid"]
    instance.upgrade(command=stages("g2", first.word()))
    os.kill(pid, signal.SIGSTOP)
    with dial(second) as queued:
        wait_until(lambda: not (second.row(instance) or {}).get("retires_in_ms"), 5, instance.log)
        os.kill(pid, signal.SIGCONT)
        assert queued.recv(100).startswith(b"GEN g1"), instance.log()
    instance.stop("--now")


def test_a_retiring_listener_of_a_generation_that_serves_again(moult, places):
    """The generation had stopped accepting there.  Its successor has died, and it accepts again."""
    first, second = places
    instance = moult().run("--retire-after=500ms",
                           command=stages("g1", first.word(), second.word()))
    pid = instance.generation(1)["pid"]
    instance.upgrade(command=stages("g2", first.word()))
    os.kill(pid, signal.SIGSTOP)
    with dial(second) as queued:
        wait_until(lambda: second.row(instance)["retires_in_ms"] is None, 5, instance.log)
        os.kill(instance.generation(2)["pid"], signal.SIGKILL)
        instance.wait_log("serves again")
        os.kill(pid, signal.SIGCONT)
        assert queued.recv(100).startswith(b"GEN g1"), instance.log()
    with dial(second) as later:
        assert later.recv(100).startswith(b"GEN g1"), instance.log()
    instance.stop("--now")
