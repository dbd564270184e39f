# SPDX-License-Identifier: MIT
"""SO_REUSEPORT groups: a socket for each worker, and as many workers as each generation wants.

Under moult all sockets of a group share one queue, so no client is reset when a socket is closed.
"""

import os
import signal

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_lost_only_with, assert_nothing_lost, assert_switches
from harness.network import ask
from harness.waiting import wait_until

# How a worker waits for connections, and how many persistent connections each can hold
WAITS = {
    "epoll": (("waiter", "--wait=epoll", "--nonblocking"), 4),
    "epoll-edge-exclusive": (("waiter", "--wait=epoll-edge-exclusive", "--nonblocking"), 4),
    "accept": (("acceptor", "--model=prefork"), 0),
    "accept-threads": (("acceptor", "--model=threads"), 4),
}
WHO = {"workers": "--reuseport", "master": "--reuseport=master"}


def daemon(wait, tag, port, workers, *more, who="workers"):
    """The command; with 0 workers, one plain socket without the option."""
    words = WAITS[wait][0]
    group = (WHO[who], f"--processes={workers}") if workers else ("--processes=2",)
    if words[0] == "acceptor" and not workers:
        group = ()
    return [program(words[0]), "--tag", tag, *words[1:], f"--port={port}", *group, *more]


def members(instance):
    return len(instance.status()["listeners"])


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("wait", WAITS)
def test_the_number_of_workers_changes(moult, load, port, wait, who):
    """4, 2, 6 workers, one plain socket, 4 workers.  Without moult, clients in the queue of a
    socket that goes would be reset."""
    instance = moult().run(command=daemon(wait, "g1", port, 4, who=who))
    client = load(f"127.0.0.1:{port}", rate=600, persistent=WAITS[wait][1], persistent_every=30)
    client.wait(lambda report: report["answered"] >= 100 and
                report["persistent"]["answered"] >= WAITS[wait][1])
    switched, tags = [], ["g1"]
    for number, workers in enumerate((2, 6, 0, 4), 1):
        tags.append(f"g{number + 1}")
        switched.append(instance.upgrade(
            command=daemon(wait, tags[-1], port, workers, who=who)).instant)
        client.renew()
        client.wait_answers(100, tags[-1])
        instance.wait_gone(number)
        assert members(instance) == 1, instance.log()
    client.wait_answers(100, "g5")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, tags, switched)
    instance.stop()
    assert not processes.descendants(), instance.log()


@pytest.mark.parametrize("wait", ["epoll", "accept"])
def test_a_failed_version_with_another_number_of_workers_leaves_no_trace(moult, load, port, wait):
    """Whether the version wanted more sockets or fewer: none of its sockets gets a client."""
    instance = moult().run(command=daemon(wait, "g1", port, 4, who="master"))
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(50)
    for workers in (8, 2, 0):
        instance.upgrade(command=daemon(wait, "bad", port, workers, "--fail=exit1",
                                        "--fail-at=listening", who="master"), expect=1)
        client.wait_answers(100, "g1")
        assert members(instance) == 1
    instance.upgrade(command=daemon(wait, "g2", port, 2, who="master"))
    client.wait_answers(100, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1", "g2"]
    instance.stop()


def test_threads_with_a_socket_each(moult, load, port):
    """The group belongs to one process; the next generation has fewer threads, then more."""
    def command(tag, threads):
        return [program("acceptor"), "--tag", tag, "--model=pool", f"--port={port}",
                "--reuseport=master", f"--threads={threads}"]
    instance = moult().run(command=command("g1", 4))
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(50)
    switched = []
    for number, threads in enumerate((2, 6), 1):
        switched.append(instance.upgrade(command=command(f"g{number + 1}", threads)).instant)
        client.wait_answers(100, f"g{number + 1}")
        instance.wait_gone(number)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.stop()


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_a_lone_client_is_never_stalled(moult, port, workers):
    """One connection at a time, while the group shrinks and grows: no client waits at a socket
    without a worker."""
    instance = moult().run(command=daemon("accept", "g1", port, 4))
    for tag, number in (("g2", workers), ("g3", 4)):
        upgrade = instance.start_command("upgrade", instance.name, "--",
                                         *daemon("accept", tag, port, number))
        while upgrade.poll() is None:
            assert ask(port).startswith("GEN ")
        _, err = upgrade.communicate()
        assert upgrade.returncode == 0, f"{err}\n{instance.log()}"
        for _ in range(20):
            assert ask(port).startswith(f"GEN {tag} ")
    instance.stop()


@pytest.mark.parametrize("who, more", [("workers", ()), ("workers", ("--respawn",)),
                                       ("master", ("--respawn",))],
                         ids=["not-replaced", "replaced", "master-replaces"])
@pytest.mark.parametrize("wait", ["epoll", "accept"])
def test_a_killed_worker_loses_only_what_it_had_accepted(moult, load, port, wait, who, more):
    """Another worker serves the clients that are in the queue of its socket or come later, and the
    next generation has all its sockets."""
    instance = moult().run(command=daemon(wait, "g1", port, 4, *more, who=who))
    client = load(f"127.0.0.1:{port}", rate=600, persistent=WAITS[wait][1])
    client.wait_answers(100)
    deaths = []
    for _ in range(2):
        master = instance.generation(1)["pid"]
        workers = [p.pid for p in instance.tagged("g1") if p.parent == master]
        deaths.append(processes.kill(workers[:1]))
        client.wait_answers(200, "g1")
        client.wait(lambda report: report["in_flight"] < 5, reason="somebody waits for nobody")
        if more:
            wait_until(lambda m=master: len([p for p in instance.tagged("g1")
                                             if p.parent == m]) == 4, 10, instance.log)
    instance.upgrade(command=daemon(wait, "g2", port, 4, *more, who=who))
    client.close_persistent()
    client.wait_answers(100, "g2")
    assert_lost_only_with(client.stop(), deaths)
    instance.wait_alone()
    assert members(instance) == 1
    instance.stop()


def test_a_stopped_worker_stalls_no_client(moult, load, port):
    """Without moult the kernel would go on putting clients into the queue of that worker."""
    instance = moult().run(command=daemon("epoll", "g1", port, 4))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(50)
    main = instance.generation(1)["pid"]
    worker = next(process.pid for process in instance.tagged("g1") if process.pid != main)
    os.kill(worker, signal.SIGSTOP)
    try:
        client.wait_answers(400, "g1")
        client.wait(lambda report: report["in_flight"] < 5, reason="somebody waits for it")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert_nothing_lost(client.stop())
    instance.stop()
