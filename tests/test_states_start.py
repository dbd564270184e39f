# SPDX-License-Identifier: MIT
"""Commands, signals and failures while a program starts, starts again, or waits to start again."""

import signal

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.no_overlap import connect, ended
from harness.states import NOBODY, assert_ends, once, unless, without_processes
from harness.waiter import waiter
from harness.waiting import wait_until

BEFORE_IT_LISTENS, BEFORE_IT_IS_READY = "before it listens", "before it is ready"


@pytest.fixture
def flag(directory):
    return directory / "flag"


# ---- the first start ----

def test_an_upgrade_while_the_first_generation_starts(moult, port, flag):
    """The upgrade is refused as busy, counts as neither completed nor failed, and changes
    nothing."""
    instance = moult().run(command=once(flag, waiter("g1", port)), wait=False)
    instance.wait_log("generation 1: started")
    assert "still starting" in instance.upgrade(command=waiter("g2", port), expect=75).stderr
    assert instance.status()["state"] == "starting"
    flag.touch()
    instance.wait_serving()
    assert ask(port).startswith("GEN g1 ")
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (0, 0)
    instance.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", [BEFORE_IT_LISTENS, BEFORE_IT_IS_READY])
def test_a_stop_while_the_first_generation_starts(moult, port, flag, connect, when, number):
    """TERM lets it finish the client that it has, INT does not."""
    command = waiter("g1", port)
    if when == BEFORE_IT_LISTENS:
        instance = moult().run(command=once(flag, command), wait=False)
        instance.wait_log("generation 1: started")
        instance.signal(number)
    else:
        instance = moult().run("--ready=notify", command=command, wait=False)
        wait_until(lambda: listens("127.0.0.1", port), 10, instance.log)
        client = connect(port).ask(b"hel")
        instance.wait_generation(1, lambda generation: generation["accepted"] == 1)
        instance.signal(number)
        if number == signal.SIGTERM:
            wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
            assert client.ask(b"lo\n").last_answer() == "g1"
    assert_ends(instance, 0)


def test_a_first_start_in_the_background_that_is_not_ready_in_time(moult, port):
    """`run -b` fails, also with --restart, and leaves nothing behind."""
    instance = moult()
    result = instance.command("run", "-b", "--restart=always", "--ready-timeout=300ms",
                              "-n", instance.name, "--",
                              *waiter("g1", port, "--fail=hang", "--fail-at=listening"))
    assert result.returncode == 1
    assert "not ready within 300 ms" in result.stderr
    wait_until(lambda: not processes.descendants(), 5, "the launcher in the background stays")
    assert not listens("127.0.0.1", port)


def test_a_first_start_that_fails_is_repeated_with_restart(moult, port, flag):
    flag.touch()
    instance = moult().run("--restart=on-failure", command=unless(flag, waiter("g1", port)),
                           wait=False)
    instance.wait_log("generation 2: exited with status 7")
    assert instance.status()["state"] == "starting"
    flag.unlink()
    instance.wait_serving()
    assert ask(port).startswith("GEN g1 ")
    instance.stop()


# ---- a restart is due, and no generation is left ----

@pytest.fixture
def waiting(moult, port, flag, connect):
    """waiting(PAUSE): an instance whose program has failed so often that its next start is that
    far away, and a client in the queue."""
    def make(pause):
        instance = moult().run("--restart=always", command=unless(flag, waiter("g1", port)))
        flag.touch()
        processes.kill([instance.generation(1)["pid"]])
        instance.wait_log(f"starting again in {pause}")
        status = instance.status()
        assert (status["state"], status["generations"]) == ("starting", [])
        return instance, connect(port).ask()
    return make


@pytest.mark.parametrize("options", [(), ("--no-overlap",)], ids=["overlap", "no-overlap"])
def test_an_upgrade_while_a_restart_is_due(moult, port, waiting, options):
    """The new program starts at once, serves who waits, and is what a restart starts from then
    on."""
    instance, client = waiting(r"3\.2 s")
    instance.upgrade(*options, command=waiter("g2", port))
    assert client.last_answer() == "g2"
    status = instance.status()
    assert (status["state"], status["upgrades"]["completed"]) == ("serving", 1)
    processes.kill([process.pid for process in instance.tagged("g2")])
    assert ask(port).startswith("GEN g2 ")
    instance.stop()


def test_an_upgrade_that_fails_while_a_restart_is_due(moult, port, flag, waiting):
    """The former program is tried again, and the client waits all the time."""
    instance, client = waiting(r"1\.6 s")
    instance.upgrade(command=waiter("bad", port, "--fail=exit1"), expect=1)
    status = instance.status()
    assert (status["state"], status["upgrades"]["failed"]) == ("starting", 1)
    flag.unlink()
    assert client.last_answer() == "g1"
    instance.stop()


@pytest.mark.parametrize("options", [(), ("--now",)], ids=["stop", "stop-now"])
def test_a_stop_while_a_restart_is_due_ends_at_once(moult, waiting, options):
    """The client in the queue is not served: nobody lives who could, as at a plain stop."""
    instance, client = waiting(r"1\.6 s")
    started = instance.log().count(": started")
    instance.stop(*options)
    assert_ends(instance, 0)
    assert instance.log().count(": started") == started
    try:
        assert client.answer() == ""
    except ConnectionResetError:
        pass


def test_a_restart_that_cannot_be_begun_is_tried_again(moult, port, connect):
    """No process can be created at first.  The queue stays open, and the client is served."""
    instance = moult(user=NOBODY).run("--restart=always", command=waiter("g1", port))
    with without_processes(instance):
        processes.kill([process.pid for process in instance.tagged("g1")])
        instance.wait_log("cannot start the program again|could not be started")
        client = connect(port).ask()
        assert instance.status()["state"] == "starting"
    assert client.last_answer() == "g1"
    instance.wait_serving()
    instance.stop()


# ---- a restart beside workers that have lost their master ----

def prefork(tag, port):
    return [program("acceptor"), "--tag", tag, "--model=prefork", f"--port={port}"]


def kill_master(instance, number):
    processes.kill([instance.generation(number)["pid"]])
    instance.wait_log(f"generation {number}: its first process was killed by SIGKILL; its other")


def test_a_restart_beside_workers_that_serve_on(moult, load, port, flag):
    """They serve until the next generation is ready.  An upgrade is refused until then, for the
    program is starting."""
    flag.touch()
    instance = moult().run("--restart=on-failure", command=once(flag, prefork("g1", port)))
    client = load(f"127.0.0.1:{port}", rate=200)
    client.wait_answers(20)
    flag.unlink()
    kill_master(instance, 1)
    instance.wait_log("generation 2: started")
    client.wait_answers(20)
    assert "still starting" in instance.upgrade(command=prefork("g9", port), expect=75).stderr
    flag.touch()
    instance.wait_log("generation 2: took over")
    instance.wait_gone(1)
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (0, 0)
    instance.stop()


def test_an_upgrade_that_fails_beside_workers_does_not_end_the_restarts(moult, load, port, flag):
    """A restart is due, and an operator's upgrade comes first.  The workers serve all the time."""
    instance = moult().run("--restart=on-failure", command=unless(flag, prefork("g1", port)))
    client = load(f"127.0.0.1:{port}", rate=200)
    client.wait_answers(20)
    flag.touch()
    kill_master(instance, 1)
    instance.wait_log(r"starting again in 1\.6 s")
    assert instance.status()["state"] == "serving"
    instance.upgrade(command=waiter("bad", port, "--fail=exit1"), expect=1)
    client.wait_answers(20)
    flag.unlink()
    instance.wait_log(r"generation \d+: took over")
    instance.wait_gone(1)
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.parametrize("begun", [False, True], ids=["due", "begun"])
def test_a_stop_during_a_restart_beside_workers(moult, load, port, flag, begun):
    """The workers finish their connections.  A restart that is due is not begun, and one that has
    begun is ended."""
    command = (unless, once)[begun](flag, prefork("g1", port))
    if begun:
        flag.touch()
    instance = moult().run("--restart=on-failure", command=command)
    client = load(f"127.0.0.1:{port}", rate=0, persistent=2, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 4)
    if begun:
        flag.unlink()
        kill_master(instance, 1)
        instance.wait_log("generation 2: started")
    else:
        flag.touch()
        kill_master(instance, 1)
        instance.wait_log(r"starting again in 1\.6 s")
    started = instance.log().count(": started")
    instance.signal(signal.SIGTERM)
    wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
    answered = client.report()["persistent"]["answered"]
    client.wait(lambda report: report["persistent"]["answered"] >= answered + 4)
    client.close_persistent()
    assert_ends(instance, 0)
    assert not client.stop().losses
    assert instance.log().count(": started") == started


@pytest.mark.parametrize("policy", ["no", "on-failure"])
def test_what_is_left_after_a_crash_does_not_accept(moult, port, connect, policy):
    """The process that accepts is killed; another one still serves its client.  With --restart new
    clients are served by the next generation; without, the instance ends when that client has
    been served."""
    instance = moult().run(f"--restart={policy}", command=[
        program("acceptor"), "--tag", "g1", "--model=fork", f"--port={port}"])
    held = connect(port).ask()
    assert held.answer() == "g1"
    processes.kill([instance.generation(1)["pid"]])
    if policy == "on-failure":
        assert connect(port).ask().last_answer() == "g1"
        assert held.ask().answer() == "g1"
        held.close()
        instance.wait_alone()
        assert instance.status()["state"] == "serving"
        instance.stop()
        return
    wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
    assert held.ask().answer() == "g1"
    held.close()
    assert_ends(instance, 1)
    assert not listens("127.0.0.1", port)


# ---- no process can be created ----

def test_an_upgrade_that_cannot_be_begun(moult, port):
    """It fails and says why, the current generation serves, and the next upgrade is good."""
    instance = moult(user=NOBODY).run(command=waiter("g1", port))
    with without_processes(instance):
        result = instance.upgrade(command=waiter("g2", port), expect=1)
        assert "could not be started" in result.stderr
        assert ask(port).startswith("GEN g1 ")
        assert instance.status()["upgrades"]["failed"] == 1
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop()


@pytest.mark.parametrize("policy", ["no", "on-failure"])
def test_neither_the_next_nor_the_former_generation_can_be_begun(moult, port, connect, policy):
    """--no-overlap: the former one has ended when it turns out that no process can be created.
    With --restart clients wait until one can be; without, the instance ends, as after a crash."""
    instance = moult(user=NOBODY).run("--no-overlap", f"--restart={policy}", "--drain-timeout=1s",
                                      command=waiter("g1", port))
    with without_processes(instance):
        upgrade = instance.start_command("upgrade", instance.name, "--", *waiter("g2", port))
        wait_until(lambda: not instance.tagged("g1"), 10, instance.log)
        assert "could not be started" in ended(upgrade, 1)
        if policy == "no":
            assert_ends(instance, 1)
            return
        waiting = connect(port).ask()
    assert waiting.last_answer() == "g1"
    instance.wait_serving()
    assert not instance.tagged("g2")
    assert instance.status()["upgrades"]["failed"] == 1
    instance.stop()
