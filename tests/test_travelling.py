# SPDX-License-Identifier: MIT
"""Connections that move to another process, and connections of which one half has ended.

The old generation lives exactly as long as its connections.  The kernel says so, not a counter.
"""

import os
import signal
import socket

import pytest

from harness import processes
from harness.build import program
from harness.cases import FORKS
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask

TAGS = ["g1", "g2", "g3"]
MODELS = ["pass", "listener", "listener-poll", "listener-epoll", "listener-close", "exec",
          "exec-vfork", "spawn", "dup", "orphan"]
COUNT = 5


def traveller(tag, port, model, *more):
    return [program("traveller"), "--tag", tag, f"--model={model}", "--port", str(port), *more]


def assert_served(client, tag):
    """The connections held still get their answers, from the same generation."""
    before = client.report().persistent_tags[tag]
    client.wait(lambda report: report.persistent_tags[tag]["answered"] >=
                before["answered"] + 3 * before["open"])


def holds(instance, number, count):
    instance.wait_generation(number, lambda g: g and g["connections"] == count)


@pytest.mark.parametrize("model", MODELS)
def test_a_generation_lives_as_long_as_its_connections(moult, load, port, model):
    """Under load; the connections held end one generation after the other."""
    instance = moult().run("--drain-timeout=50s", "--kill-after=20s",
                           command=traveller("g1", port, model))
    client = load(f"127.0.0.1:{port}", rate=FORKS // 2, persistent=COUNT, persistent_every=20)
    client.wait(lambda report: report["answered"] >= 30 and
                report["persistent"]["answered"] >= COUNT)
    switched = []
    for number, tag in enumerate(TAGS[1:], 1):
        switched.append(instance.upgrade(command=traveller(tag, port, model)).instant)
        client.wait_answers(20, tag)
        holds(instance, number, COUNT)
        assert_served(client, TAGS[number - 1])
        assert instance.generation(number)["state"] == "draining"
        client.renew()
        instance.wait_gone(number)
        assert not instance.tagged(TAGS[number - 1])
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.stop()
    assert "traveller g" not in instance.log()


@pytest.mark.parametrize("model", MODELS)
def test_a_generation_ends_with_its_last_connection(moult, load, port, model):
    """The connections end one by one, and the count follows."""
    instance = moult().run("--drain-timeout=50s", "--kill-after=20s",
                           command=traveller("g1", port, model))
    connections = [connected(port) for _ in range(3)]
    instance.upgrade(command=traveller("g2", port, model))
    for left in (3, 2, 1):
        holds(instance, 1, left)
        assert all(says(connection).startswith("GEN g1 ") for connection in connections)
        connections.pop().close()
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    assert ask(port).startswith("GEN g2 ")
    instance.stop()


def connected(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    says(connection)
    return connection


def says(connection):
    """Sends a line; returns the line that answers."""
    connection.sendall(b"hello\n")
    answer = b""
    while not answer.endswith(b"\n"):
        data = connection.recv(4096)
        assert data, f"cut after {answer}"
        answer += data
    return answer.decode()


def test_a_connection_in_transit_between_processes_counts(moult, load, port):
    """The connection was sent to a worker that does not read.  No process has it, and the
    generation stays."""
    instance = moult().run("--drain-timeout=50s", command=traveller("g1", port, "pass"))
    main = instance.generation(1)["pid"]
    workers = [process.pid for process in instance.tagged("g1") if process.pid != main]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(b"hello\n")
    instance.wait_generation(1, lambda g: g["accepted"] == 1)
    instance.upgrade(command=traveller("g2", port, "pass"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(150, "g2")  # the drain has looked more than twice by then
    assert instance.generation(1)["state"] == "draining"
    assert_nothing_lost(client.stop())
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert connection.makefile().readline().startswith("GEN g1 ")
    holds(instance, 1, 1)
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    instance.wait_gone(1)
    instance.stop()


def test_a_connection_in_close_wait_counts(moult, port):
    """The client has ended its half, and the daemon goes on sending."""
    instance = moult().run("--drain-timeout=50s", command=traveller("g1", port, "half-client"))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello\n")
        connection.shutdown(socket.SHUT_WR)
        lines = connection.makefile()
        assert lines.readline().startswith("GEN g1 ")
        instance.upgrade(command=traveller("g2", port, "half-client"))
        holds(instance, 1, 1)
        for _ in range(20):
            assert lines.readline().startswith("GEN g1 ")
        assert instance.generation(1)["state"] == "draining"
        lines.close()
    instance.wait_gone(1)
    instance.stop()


def test_a_connection_in_fin_wait2_counts(moult, port):
    """The daemon has ended its half, and waits for the client's end."""
    instance = moult().run("--drain-timeout=50s", command=traveller("g1", port, "half-server"))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello\n")
        lines = connection.makefile()
        assert lines.readline().startswith("GEN g1 ")
        assert lines.readline() == ""
        instance.upgrade(command=traveller("g2", port, "half-server"))
        holds(instance, 1, 1)
        instance.wait_log("generation 1: draining, 1 connection")
        assert instance.generation(1)["state"] == "draining"
        lines.close()
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    instance.stop()


@pytest.mark.parametrize("before", [True, False], ids=["before-the-upgrade", "while-draining"])
def test_a_generation_outlives_its_first_process(moult, port, before):
    """A child holds a connection.  The generation ends with that connection."""
    instance = moult().run("--drain-timeout=50s", command=traveller("g1", port, "orphan"))
    connection = connected(port)
    main = instance.generation(1)["pid"]

    def end_main():
        os.kill(main, signal.SIGUSR1)
        processes.wait_until(lambda: not processes.alive(main), 10, "the main process stays")

    if before:
        end_main()
        assert says(connection).startswith("GEN g1 ")
    instance.upgrade(command=traveller("g2", port, "orphan"))
    if not before:
        end_main()
    holds(instance, 1, 1)
    assert says(connection).startswith("GEN g1 ")
    assert [process.pid for process in instance.tagged("g1")] != [main]
    assert ask(port).startswith("GEN g2 ")
    connection.close()
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    instance.stop()


def test_a_connection_that_moves_between_processes_is_always_counted(moult, load, port):
    """A count that reads one process first and the other later may see the connection in neither.
    The kernel still lists it, so the launcher counts again."""
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
