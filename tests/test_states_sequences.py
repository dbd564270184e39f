# SPDX-License-Identifier: MIT
"""Several things happen to an instance, one soon after the other."""

import os
import signal
import time

from harness import processes
from harness.no_overlap import connect, ended
from harness.places import places, stages
from harness.states import (at_the_switch, begin_upgrade, closes, hold, keeper_of, resume,
                            unless, while_exists, without_end)
from harness.stopper import Stopper
from harness.waiter import waiter
from harness.waiting import wait_until


def main_of(instance, number):
    """The first process of that generation."""
    return instance.generation(number)["pid"]


def stop_at_wait(instance, number):
    """Continues a launcher that is stopped, until it waits for its next event that many times."""
    stopper = Stopper(instance.process.pid, number, "stop", "wait")
    resume(instance)
    wait_until(lambda: stopper.is_over, 10, instance.log)
    assert stopper.result()[:1] == ["hit"], instance.log()


def with_helper(command):
    """The daemon starts a helper that outlives it and does not accept."""
    return ["sh", "-c", 'sleep 1000 & exec "$@"', "sh", *map(str, command)]


def test_a_stop_while_the_restarted_program_loads(moult, port, connect, directory):
    """The time for late listeners is over, and nobody holds this one.  A client waits there: the
    program binds it during the stop, and answers."""
    loading = directory / "loading"
    instance = moult().run("--restart=always", "--retire-after=1ms",
                           command=while_exists(loading, waiter("g1", port)))
    loading.touch()
    processes.kill([process.pid for process in instance.tagged("g1")])
    instance.wait_log("generation 2: started")
    client = connect(port).ask()
    stop = instance.start_command("stop", instance.name)
    wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
    loading.unlink()
    assert client.last_answer() == "g1"
    ended(stop, 0)


def test_an_older_generation_that_served_again_drains_when_it_is_replaced(moult, port, connect):
    """A newer one, which has closed its listener, drains all the time."""
    instance = moult().run(command=waiter("g1", port))
    first = hold(connect, instance, port, 1)
    instance.upgrade("--drain-signal=USR1", command=closes("g2", port))
    second = hold(connect, instance, port, 2)
    instance.upgrade(command=waiter("g3", port))
    instance.wait_log("g2 has closed its listener")
    processes.kill([main_of(instance, 3)])
    instance.wait_log("generation 1: serves again")
    start = len(instance.log())
    instance.upgrade(command=waiter("g4", port))
    instance.wait_log("generation 1: draining", start=start)
    assert first.ask().answer() == "g1"
    assert second.ask().answer() == "g2"
    first.close()
    second.close()
    instance.wait_alone()
    instance.stop()


def test_a_standby_whose_first_process_ends_is_called_back(moult, places, connect):
    """What is left of it does not accept, so a restart follows."""
    first, _ = places
    instance = moult().run("--restart=always", command=with_helper(stages("g1", first.word())))
    upgrade = begin_upgrade(instance, stages("g2", first.word("serve", "g2")))
    instance.wait_generation(2, lambda generation: first.row(instance)["adopted"])
    main = main_of(instance, 1)
    with at_the_switch(instance):
        first.step("serve", "g2")
    processes.kill([main])
    stop_at_wait(instance, 2)  # it has read that report: the generation is not current
    processes.kill([process.pid for process in instance.tagged("g2")])
    resume(instance)
    ended(upgrade, 1)
    assert connect(int(first.where)).ask().last_answer() == "g1"
    instance.stop("--now")


def test_an_older_generation_ends_well_while_a_restart_is_due(moult, port, connect):
    """The restart is for the newer one, which has crashed, and takes place."""
    instance = moult().run("--restart=on-failure", command=[
        "sh", "-c", '"$@"; exit 0', "sh", *waiter("g1", port)])
    hold(connect, instance, port, 1)
    instance.upgrade(command=waiter("g2", port))
    for number, pause in enumerate(("100 ms", "200 ms", "400 ms", "800 ms"), 2):
        instance.wait_generation(number, lambda generation: generation and
                                 generation["state"] == "current")
        wait_until(lambda: instance.generation(1)["state"] == "draining", 10, instance.log)
        start = len(instance.log())
        processes.kill([main_of(instance, number)])
        instance.wait_log(f"starting again in {pause}", start=start)
    processes.kill([process.pid for process in instance.tagged("g1")
                    if process.command[0] != "sh"])
    instance.wait_log("generation 6: started", 15)
    assert connect(port).ask().last_answer() == "g2"
    instance.stop("--now")


def test_a_crash_during_an_upgrade_that_fails(moult, port, connect):
    """An older generation serves again.  The restart of the one that crashed follows the upgrade."""
    instance = moult().run("--restart=always", command=waiter("g1", port))
    held = hold(connect, instance, port, 1)
    instance.upgrade(command=waiter("g2", port))
    upgrade = begin_upgrade(instance, waiter("bad", port, "--fail=hang"), "--ready-timeout=2s")
    processes.kill([main_of(instance, 2)])
    instance.wait_log("generation 1: serves again")
    ended(upgrade, 1)
    wait_until(lambda: instance.tagged("g2"), 10, instance.log)
    instance.wait_log("generation 4: took over")
    assert connect(port).ask().last_answer() == "g2"
    assert held.ask().answer() == "g1"
    instance.stop("--now")


def test_a_launcher_that_slept_through_the_end_of_the_probation(moult, places, connect):
    """The new generation has ended meanwhile: it is rolled back, not completed."""
    first, _ = places
    instance = moult().run(command=stages("g1", first.word()))
    upgrade = begin_upgrade(instance, stages("g2", first.word("serve", "g2")))
    instance.wait_generation(2, lambda generation: first.row(instance)["adopted"])
    keeper = keeper_of(instance, 2)
    with at_the_switch(instance):
        first.step("serve", "g2")
    stop_at_wait(instance, 1)
    until = time.monotonic() + 0.4  # longer than the probation
    processes.kill([process.pid for process in instance.tagged("g2")])
    wait_until(lambda: not processes.alive(keeper) and time.monotonic() > until, 10, instance.log)
    resume(instance)
    ended(upgrade, 1)
    assert connect(int(first.where)).ask().last_answer() == "g1"
    instance.stop("--now")


def test_the_current_generation_ends_while_a_failed_version_is_being_killed(moult, port, connect):
    """An older one, which still drains, serves again."""
    instance = moult().run("--ready-timeout=1s", command=waiter("g1", port))
    held = hold(connect, instance, port, 1)
    instance.upgrade(command=waiter("g2", port))
    upgrade = begin_upgrade(instance, waiter("bad", port, "--fail=hang"))
    with without_end(instance, 3):
        instance.wait_log("generation 3: not ready within")
        processes.kill([main_of(instance, 2)])
        instance.wait_log("generation 1: serves again")
        assert connect(port).ask().last_answer() == "g1"
    ended(upgrade, 1)
    assert connect(port).ask().last_answer() == "g1"
    assert held.ask().answer() == "g1"
    instance.stop("--now")


def test_an_upgrade_without_overlap_while_a_restart_is_due(moult, port, connect, directory):
    """An older generation is still ending: the next one starts after it."""
    broken = directory / "broken"
    instance = moult().run("--restart=always", "--kill-after=4s", command=waiter(
        "g1", port, f"--report-signal={int(signal.SIGTERM)}"))
    instance.upgrade(command=unless(broken, waiter("g2", port)))
    instance.wait_log("waiter g1: signal 15")
    broken.touch()
    processes.kill([main_of(instance, 2)])
    instance.wait_log(r"starting again in 1\.6 s", 15)
    assert instance.generation(1)
    client = connect(port).ask()
    upgrade = instance.start_command(
        "upgrade", instance.name, "--no-overlap", "--", *waiter("g3", port))
    ended(upgrade, 0)
    assert client.last_answer() == "g3"
    assert not instance.tagged("g1")
    instance.stop("--now")


def test_what_an_operator_asks_for_while_the_queues_are_emptied(moult, port, connect):
    """The daemon is stopped and accepts nothing, so that takes a while.  An upgrade is refused, a
    second stop changes nothing, `stop --now` ends it."""
    instance = moult().run(command=waiter("g1", port))
    daemon = [process.pid for process in instance.tagged("g1")]
    client = connect(port)
    for pid in daemon:
        os.kill(pid, signal.SIGSTOP)
    client.ask()
    first = instance.start_command("stop", instance.name)
    wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
    assert "is stopping" in instance.upgrade(command=waiter("g2", port), expect=1).stderr
    second = instance.start_command("stop", instance.name)
    instance.signal(signal.SIGTERM)
    assert instance.status()["state"] == "draining"
    third = instance.command("stop", instance.name, "--now")
    assert third.returncode == 0
    ended(first, 0)
    ended(second, 0)
