# SPDX-License-Identifier: MIT
"""The library inside a program: what it costs, and what it must not break."""

import os
import re
import signal
import socket
import subprocess

import pytest

from harness.build import program
from harness.network import ask
from harness.waiting import wait_until


@pytest.fixture
def hold():
    """hold(PORT): a connection that keeps the generation that answers it from ending."""
    held = []

    def connect(port):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert held[-1].recv(100).startswith(b"GEN ")
        return held[-1]
    yield connect
    for connection in held:
        connection.close()


def settler(*arguments):
    result = subprocess.run([program("settler"), *map(str, arguments)], capture_output=True,
                            text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "settled\n"), result.stderr


# ---- many threads bring epoll entries in line at once, without a lock ----

@pytest.mark.parametrize("seed", [1, 100001])
def test_every_schedule_of_threads_ends_with_the_last_request_in_the_kernel(seed):
    """Random schedules of 2 to 64 threads that request, settle, and open and close the gate.  No
    thread makes more kernel calls than the changes explain."""
    settler("model", seed, 3000)


@pytest.mark.parametrize("count", [2, 64])
def test_threads_in_lockstep_finish_in_a_few_rounds(count):
    """The threads take turns, one step each."""
    settler("lockstep", count)


def test_64_real_threads_settle_while_gates_change():
    settler("threads", 64, 1000)


def test_a_wait_that_never_comes_back_is_not_counted_for_ever():
    """A signal handler has jumped out of the wait, or the wait was in a vfork child that was
    killed."""
    settler("sleep")


# ---- what is remembered of a descriptor ----

@pytest.mark.parametrize("what", ["race", "closed"])
def test_what_is_remembered_is_no_older_than_the_look(what):
    """A socket that another thread makes a listener meanwhile counts as a listener.  Nothing is
    remembered of a closed number."""
    finder(what)


def finder(what):
    result = subprocess.run([program("finder"), what], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, "found\n"), result.stderr


# ---- a vfork child shares the memory, but has descriptors of its own ----

def test_a_vfork_child_does_nothing_of_what_a_switch_does():
    """At a gate that a keeper has opened: the number may be another file in the child than in its
    parent."""
    finder("borrowed")


def told(log, text, start=0):
    wait_until(lambda: f": {text}" in log()[start:], reason=lambda: f"no {text!r}:\n{log()}")


def said(log):
    return re.findall(r"guest \w+: (.*)", log)


def children_of(log, pid):
    """What the program reports of itself and its vfork children at the signal."""
    start = len(log())
    os.kill(pid, signal.SIGUSR1)
    told(log, "done", start)
    return said(log()[start:])


def test_a_vfork_child_that_moves_descriptors_changes_nothing_in_its_parent(moult, plain, port, hold):
    """The program reports the same about itself and its children as without moult, at an open gate
    and, in the old generation, at a closed one.  The services go on."""
    def guest(tag):
        return [program("guest"), "vfork", "--tag", tag, str(port)]

    alone = plain(guest("g0"))
    told(lambda: alone.written(alone.err), "waits")
    expected = children_of(lambda: alone.written(alone.err), alone.process.pid)
    alone.end(signal.SIGKILL)
    assert "the parent's 0: 0 " in expected and len(expected) == 10

    instance = moult().run("--retire-after=0s", command=guest("g1"))
    pid = instance.tagged("g1")[0].pid
    assert children_of(instance.log, pid) == expected
    held = hold(port)
    instance.upgrade("--drain-timeout=100s", command=guest("g2"))
    assert children_of(instance.log, pid) == expected
    assert ask(port).split()[:2] == ["GEN", "g2"]
    assert children_of(instance.log, instance.tagged("g2")[0].pid) == expected
    assert ask(port).split()[:2] == ["GEN", "g2"]
    held.close()
    instance.wait_gone(1)
    instance.stop()


# ---- an epoll instance with several numbers, or in several processes ----

def test_an_entry_of_somebody_elses_stays(moult, plain, port):
    """One number of an epoll instance, or one process, changes or closes what another one still
    watches.

    The kernel is the oracle: the program reports the same without moult.
    """
    def guest(tag):
        return [program("guest"), "epoll", "--tag", tag, str(port)]

    alone = plain(guest("g0"))
    told(lambda: alone.written(alone.err), "waits")
    expected = children_of(lambda: alone.written(alone.err), alone.process.pid)
    alone.end(signal.SIGKILL)
    assert "two numbers: woken: 1 " in expected
    assert "two processes: the child is woken: 1 " in expected

    instance = moult().run("--retire-after=0s", command=guest("g1"))
    assert children_of(instance.log, instance.tagged("g1")[0].pid) == expected
    instance.upgrade(command=guest("g2"))
    assert children_of(instance.log, instance.tagged("g2")[0].pid) == expected
    assert ask(port).split()[:2] == ["GEN", "g2"]
    instance.stop()


# ---- little stack ----

@pytest.mark.exact
def test_hooks_work_on_the_smallest_stacks(moult, port, hold):
    """An alternate stack with 2 KB for the handler, and a coroutine of 4 KB, in any state of the
    gate."""
    def guest(tag):
        return [program("guest"), "stack", "--tag", tag, str(port)]

    def run_in(tag):
        start = len(instance.log())
        os.kill(instance.tagged(tag)[0].pid, signal.SIGUSR2)
        told(instance.log, "done", start)
        assert said(instance.log()[start:])[-3:] == [
            "the handler has had room", "the coroutine has had room", "done"]

    instance = moult().run("--retire-after=0s", command=guest("g1"))
    run_in("g1")
    held = hold(port)
    instance.upgrade("--drain-timeout=100s", command=guest("g2"))
    run_in("g1")
    run_in("g2")
    assert ask(port).split()[:2] == ["GEN", "g2"]
    held.close()
    instance.wait_gone(1)
    instance.stop()


@pytest.mark.exact
def test_no_hook_takes_more_than_its_room(moult, port, directory):
    """1,536 bytes, as scripts/check computes; also in a generation that takes over sockets."""
    def meter(tag):
        return [program("meter"), "--tag", tag, str(port)]

    instance = moult()
    instance.environment["LD_BIND_NOW"] = "1"  # at a first call the loader needs kilobytes of stack
    instance.run(command=meter("g1"), cwd=directory)
    instance.upgrade(command=meter("g2"))
    for tag in ("g1", "g2"):
        instance.wait_log(f"meter {tag}: waits")
        used = {name: int(size) for name, size in
                re.findall(rf"meter {tag}: (\S+) (\d+)\n", instance.log())}
        assert len(used) == 13 and used["nothing"] == 0
        assert used["bind"] > 200, "the library was not in it"
        assert max(used.values()) <= 1536, used
    instance.stop()


# ---- the daemon's time limit holds, however many slices a wait has ----

@pytest.mark.parametrize("call", ["poll", "ppoll", "select", "pselect"])
def test_an_interrupted_wait_continues_with_the_time_left(moult, port, call, hold):
    """A connection that belongs to the next generation wakes the wait after two of its three
    seconds."""
    def guest(tag):
        return [program("guest"), call, "--tag", tag, str(port)]

    def told_g1(text):
        wait_until(lambda: f"guest g1: {text}" in instance.log()[start:], reason=instance.log)

    instance = moult().run("--retire-after=0s", command=guest("g1"))
    held = hold(port)
    pid = instance.tagged("g1")[0].pid
    wait_until(lambda: "guest g1: begins" in instance.log(), reason="no wait")
    start = len(instance.log())
    wait_until(lambda: "guest g1: ends" in instance.log()[start:], reason="no end")
    start = instance.log().rindex("guest g1: ends") + len("guest g1: ends")
    instance.upgrade("--drain-timeout=100s", command=guest("g2"))
    told_g1("2 seconds are over")
    assert ask(port).split()[:2] == ["GEN", "g2"]
    told_g1("ends")
    ends = re.findall(r"guest g1: (ends .*)", instance.log()[start:])
    assert ends[0] == "ends in time", instance.log()
    assert instance.tagged("g1")[0].pid == pid
    held.close()
    instance.wait_gone(1)
    instance.stop()
