# SPDX-License-Identifier: MIT
"""--no-overlap: a daemon that cannot run twice is upgraded while its clients wait."""

import os
import re
import signal
import socket
import struct

import pytest

from harness.load import assert_nothing_lost, assert_switches
from harness.network import new_port
from harness.no_overlap import begin, connect, ended, only, owners, place, wait_gap
from harness.waiting import wait_until

NOBODY = 65534
EPOLL = ("waiter", "--wait=epoll", "--nonblocking")


def test_without_no_overlap_the_upgrade_fails(moult, load, port, only, place):
    """The daemon of these tests refuses to run twice, as databases do."""
    instance = moult().run(command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    result = instance.upgrade(command=only("g2", f"--port={port}"), expect=1)
    assert "exited with status 3 before it was ready; generation 1 still serves" in result.stderr
    client.wait_answers(20, "g1")
    assert_nothing_lost(client.stop())
    assert owners(place) == ["g1"]
    instance.stop()


@pytest.mark.parametrize("words, kinds", [
    (EPOLL, ("tcp",)),
    (EPOLL, ("unix",)),
    (EPOLL, ("tcp", "tcp", "unix")),
    (("waiter", "--wait=epoll-edge-exclusive", "--nonblocking"), ("tcp",)),
    (("acceptor", "--model=pool"), ("tcp",)),
    (("acceptor", "--model=threads"), ("unix",)),
    (("acceptor", "--model=fork"), ("tcp",)),
    ((*EPOLL, "--habit=daemon"), ("tcp",)),
    ((*EPOLL, "--reuseport", "--processes=3"), ("tcp",)),
    ((*EPOLL, "--habit=shutdown-at-exit"), ("tcp", "unix")),
    ((*EPOLL, "--habit=unlink-first", "--habit=unlink-at-exit"), ("unix",)),
], ids=lambda value: "-".join(w.partition("=")[2] or w.lstrip("-") for w in value))
def test_clients_wait_for_the_next_generation(moult, load, only, place, words, kinds):
    """Three upgrades under load: no client is lost, and two daemons never run at once."""
    where, addresses = [], []
    for number, kind in enumerate(kinds):
        if kind == "tcp":
            port = new_port()
            where.append(f"--port={port}")
            addresses.append(f"127.0.0.1:{port}")
        else:
            where.append(f"--unix={place}/s{number}")
            addresses.append(f"unix:{place}/s{number}")

    def command(tag):
        return only(tag, *where, "--start-delay=100", name=words[0], style=words[1:])
    instance = moult().run("--no-overlap", command=command("g1"))
    # A fork for each connection is slow on a busy machine, and with a sanitiser: the queue would grow
    client = load(addresses, rate=50 if "--model=fork" in words else 300)
    client.wait_answers(50)
    switched = []
    for tag in ("g2", "g3", "g4"):
        result = instance.upgrade(command=command(tag))
        switched.append(result.instant)
        assert "new ones wait in the queue" in result.stderr
        client.wait_answers(50, tag)
        assert len(instance.status()["generations"]) == 1
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3", "g4"], switched)
    assert owners(place) == ["g1", "g2", "g3", "g4"]
    status = instance.status()
    assert status["upgrades"]["completed"] == 3 and status["upgrades"]["failed"] == 0
    assert {listener["adopted"] for listener in status["listeners"]} == {True}
    instance.stop()


def test_datagrams_wait_in_the_buffer(moult, load, port, only, place):
    """Each is answered once."""
    def command(tag):
        return only(tag, f"--port={port}", "--start-delay=200", name="datagram")
    instance = moult().run("--no-overlap", command=command("g1"))
    client = load(f"udp:127.0.0.1:{port}", rate=100)
    client.wait_answers(30)
    switched = [instance.upgrade(command=command(tag)).instant for tag in ("g2", "g3")
                if client.wait_answers(30)]
    client.wait_answers(30, "g3")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    assert owners(place) == ["g1", "g2", "g3"]
    instance.stop("--now")  # a generation that has answered datagrams may send for 5 s more


def test_clients_of_a_unix_socket_see_the_same_user(moult, only, place, connect):
    """The longer backlog must not make the socket belong to another user, whom clients may not
    trust."""
    path = place / "socket"

    def command(tag, *more):
        return only(tag, f"--unix={path}", "--habit=drop-uid-early", *more)

    def peer(client):
        credentials = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("3i", credentials)[1:]

    def peer_now():
        client = connect(path)
        found = peer(client)
        client.close()
        return found

    def backlog():
        return instance.status()["listeners"][0]["backlog"]
    instance = moult().run("--no-overlap", command=command("g1", "--backlog=7"))
    assert peer_now() == (NOBODY, NOBODY)
    assert backlog() == 7
    held = connect(path).ask(b"hel")  # keeps the old generation running
    upgrade = begin(instance, command("g2", "--start-delay=400"))
    assert backlog() > 7
    waiting = connect(path).ask()
    assert peer(waiting) == (NOBODY, NOBODY)
    assert held.ask(b"lo\n").last_answer() == "g1"
    ended(upgrade, 0)
    assert waiting.last_answer() == "g2"
    assert peer_now() == (NOBODY, NOBODY)
    launcher = (instance.process.pid, os.geteuid())
    status = open(f"/proc/{launcher[0]}/status").read()
    assert re.search(rf"Uid:\s+{launcher[1]}\s+{launcher[1]}\s", status), status
    instance.stop()


@pytest.mark.parametrize("options, more", [
    ((), ("--start-delay=1500",)),
    (("--ready=notify",), ("--notify", "--ready-after=1500")),
], ids=["before-it-listens", "before-it-is-ready"])
@pytest.mark.parametrize("kind", ["tcp", "unix", "unix-of-a-user"])
def test_more_clients_wait_than_the_backlog_of_the_daemon_allows(moult, only, port, place, connect, kind, options,
                                             more):
    """The backlog is 5.  300 clients come while no generation runs, or none is ready."""
    where = f"--port={port}" if kind == "tcp" else f"--unix={place}/socket"
    address = port if kind == "tcp" else place / "socket"
    instance = moult(user=NOBODY if kind == "unix-of-a-user" else None).run("--no-overlap", command=only("g1", where, "--backlog=5"))
    upgrade = begin(instance, only("g2", where, "--backlog=5", *more), *options)
    wait_gap(instance, "g2")
    if options:
        wait_until(lambda: instance.status()["listeners"][0]["adopted"], 10, instance.log)
    waiting = [connect(address).ask() for _ in range(300)]
    wait_until(lambda: instance.status()["listeners"][0]["queued"] == 300, 10, instance.status)
    ended(upgrade, 0)
    assert {client.last_answer() for client in waiting} == {"g2"}
    if kind == "tcp":
        assert instance.status()["listeners"][0]["backlog"] == 5
    instance.stop()


def test_the_old_generation_finishes_requests_under_way(moult, only, port, connect):
    """A request of which half has arrived is answered by the generation that has read that half."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    client = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}"))
    later = connect(port).ask()
    assert instance.tagged("g1") and not instance.tagged("g2")
    assert client.ask(b"lo\n").last_answer() == "g1"
    assert later.last_answer() == "g2"
    assert "generation 1: drained after" in ended(upgrade, 0)
    instance.stop()


@pytest.mark.parametrize("options, said", [
    ((), r"draining, 1 connections \(5 s\)"),
    (("--drain-timeout=0s",), r"1 connections left after"),
    (("--drain-timeout=300ms",), r"draining, 1 connections \(300 ms\)"),
], ids=["default", "none", "short"])
def test_idle_connections_end_when_the_time_is_over(moult, only, port, connect, options, said):
    """The time is short unless the operator sets another."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    client = connect(port).ask()
    assert client.answer() == "g1"
    result = instance.upgrade(*options, command=only("g2", f"--port={port}"))
    assert re.search(said, result.stderr), result.stderr
    assert client.answer() == ""
    assert connect(port).ask().last_answer() == "g2"
    instance.stop()


def test_a_daemon_that_ignores_the_stop_signal_is_killed_before_the_next_one_starts(moult, only, port, place):
    instance = moult().run("--no-overlap", "--stop-signal=INT", "--kill-after=300ms",
                           command=only("g1", f"--port={port}", f"--ignore-signal={signal.SIGINT}"))
    result = instance.upgrade(command=only("g2", f"--port={port}"))
    assert "stopping by SIGINT, it has 300 ms before SIGKILL" in result.stderr
    assert "still there after the stop signal, killing" in result.stderr
    assert owners(place) == ["g1", "g2"]
    instance.stop()


def test_all_earlier_generations_end_before_the_next_one_starts(moult, port, only, connect, place):
    """This includes one that still drains after an ordinary upgrade."""
    def free(tag):
        return [word for word in only(tag, f"--port={port}") if not word.startswith("--lock")]
    instance = moult().run(command=free("g1"))
    old = connect(port).ask(b"hel")
    instance.upgrade(command=free("g2"))
    instance.wait_generation(1, lambda g: g["state"] == "draining" and g["connections"] == 1)
    result = instance.upgrade("--no-overlap", "--drain-timeout=300ms",
                              command=only("g3", f"--port={port}"))
    assert old.answer() == ""
    assert result.stderr.index("generation 1: ") < result.stderr.index("generation 3: started")
    assert [g["id"] for g in instance.status()["generations"]] == [3]
    instance.stop()


def test_a_readiness_command_may_ask_the_next_generation(moult, load, port, only):
    """--ready=exec: no other generation would answer the command, so clients are let in as soon as
    the next generation serves."""
    ask = (f"/usr/bin/python3 -c 'import socket;"
           f"s = socket.create_connection((\"127.0.0.1\", {port}), 5); s.sendall(b\"hello\\n\");"
           f"exit(not s.recv(99))'")
    instance = moult().run("--no-overlap", f"--ready=exec={ask}",
                           command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=100)
    client.wait_answers(20)
    instance.upgrade(command=only("g2", f"--port={port}"))
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()
