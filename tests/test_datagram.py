# SPDX-License-Identifier: MIT
"""UDP and UNIX datagrams: each question is answered once, by the current generation."""

import socket

import pytest

from harness import network, processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.waiting import wait_until

TAGS = ["g1", "g2", "g3", "g4"]
RECEIVES = ("recv", "recvfrom", "recvmsg", "recvmmsg", "read", "readv")
WAITS = ("block", "receive-timeout", "poll", "select", "epoll", "epoll-edge")

# Each way to receive with two ways to wait, each way to wait with two ways to receive
PAIRS = [(receive, WAITS[(2 * i + j) % len(WAITS)])
         for i, receive in enumerate(RECEIVES) for j in (0, 3)]


def server(tag, port, *more, wait="epoll", receive="recvfrom"):
    flags = ("--nonblocking",) if wait.startswith("epoll") else ()
    where = () if port is None else (f"--port={port}",)
    return [program("datagram"), "--tag", tag, f"--wait={wait}", f"--receive={receive}", *flags,
            *where, *more]


def three_upgrades(instance, client, command, count=100):
    """Returns the instants at which the upgrades returned.  Old generations may still answer for 5
    s."""
    switched = []
    for tag in TAGS[1:]:
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(count, tag)
    return switched


# ---- upgrades ----

@pytest.mark.parametrize("receive, wait", PAIRS)
def test_three_upgrades_lose_nothing(moult, load, port, receive, wait):
    """No question is lost or answered twice.  The old generation answers no question that was asked
    after the switch."""
    def command(tag):
        return server(tag, port, wait=wait, receive=receive)
    instance = moult().run(command=command("g1"))
    client = load(f"udp:127.0.0.1:{port}", rate=500)
    client.wait_answers(100)
    switched = three_upgrades(instance, client, command)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.stop("--now")
    assert not processes.descendants(), instance.log()


KINDS = ["--processes=4", "--threads=4", "--family=6", "--family=dual", "--host=0.0.0.0",
         "--habit=drop-uid", "--habit=daemon", "--habit=close-range", "--habit=exec-listening",
         "--habit=move"]


@pytest.mark.parametrize("wait, more", [(("block", "poll")[i % 2], (kind,)) for i, kind in
                                        enumerate(KINDS)] + [("poll", ("--processes=4",))],
                         ids=lambda value: value if isinstance(value, str) else value[0][2:])
def test_every_kind_of_datagram_daemon(moult, load, port, more, wait):
    """Workers that share the socket, other addresses, and habits at the start."""
    def command(tag):
        return server(tag, port, *more, wait=wait)
    host = "[::1]" if "--family=6" in more else "127.0.0.1"
    instance = moult().run(command=command("g1"))
    client = load(f"udp:{host}:{port}", rate=500)
    client.wait_answers(100)
    switched = three_upgrades(instance, client, command, 50)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.stop("--now")


@pytest.mark.parametrize("receive, wait", [("recvfrom", "block"), ("read", "poll"),
                                           ("recvmmsg", "epoll-edge"), ("recvmsg", "select")])
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_unix_datagrams(moult, load, directory, receive, wait, abstract):
    """With a path, which each generation unlinks before it binds, and with an abstract name."""
    name = f"@{directory}" if abstract else f"{directory}/socket"
    habits = () if abstract else ("--habit=unlink-first", "--habit=unlink-at-exit")

    def command(tag):
        return server(tag, None, f"--unix={name}", *habits, wait=wait, receive=receive)
    instance = moult().run(command=command("g1"))
    client = load(f"dgram:{name}", rate=500)
    client.wait_answers(100)
    switched = three_upgrades(instance, client, command)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.stop("--now")
    assert abstract or not (directory / "socket").exists()


@pytest.mark.parametrize("wait", ["poll", "epoll", "epoll-edge"])
def test_tcp_and_udp_on_one_port(moult, load, port, wait):
    """The TCP and the UDP socket are handed over separately; connections stay with the old
    generation until they end."""
    def command(tag):
        return server(tag, port, "--tcp", wait=wait)
    instance = moult().run(command=command("g1"))
    assert sorted(row["address"] for row in instance.status()["listeners"]) == [
        f"tcp:127.0.0.1:{port}", f"udp:127.0.0.1:{port}"]
    asks = load(f"udp:127.0.0.1:{port}", rate=500)
    connects = load(f"127.0.0.1:{port}", rate=300, persistent=3, persistent_every=30)
    asks.wait_answers(100)
    connects.wait(lambda report: report["persistent"]["answered"] >= 3)
    switched = []
    for number, tag in enumerate(TAGS[1:], 1):
        switched.append(instance.upgrade(command=command(tag)).instant)
        asks.wait_answers(50, tag)
        instance.wait_generation(number, lambda old: old and old["connections"] == 3)
        connects.renew()
    for client in (asks, connects):
        result = client.stop()
        assert_nothing_lost(result)
        assert_switches(result, TAGS, switched)
    instance.stop("--now")


# ---- the old generation may still answer ----

@pytest.mark.parametrize("wait", ["poll", "epoll-edge"])
def test_answers_under_way_arrive_after_the_switch(moult, load, port, wait):
    """A forwarder answers each question 300 ms later, from the same socket.  After the switch it
    answers the questions that it took before, takes no other question, and then ends."""
    def command(tag):
        return server(tag, port, "--delay-answer=300", wait=wait)
    instance = moult().run(command=command("g1"))
    client = load(f"udp:127.0.0.1:{port}", rate=500)
    client.wait_answers(100)
    switched = []
    for number, tag in enumerate(TAGS[1:3], 1):
        old = TAGS[number - 1]
        before = client.report().tags[old]["answered"]
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(50, tag)
        instance.wait_gone(number)
        late, new = client.report().tags[old], client.report().tags[tag]
        assert late["answered"] > before and late["last_answered_ns"] > new["first_started_ns"]
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS[:3], switched)
    instance.stop("--now")


# ---- failures ----

@pytest.mark.parametrize("wait, options", [
    ("block", ("--fail=exit1", "--fail-at=bound")),
    ("epoll-edge", ("--fail=exit1", "--fail-at=listening")),
    ("block", ("--fail=exit1", "--fail-at=waiting")),
    ("epoll-edge", ("--fail=hang", "--fail-at=listening"))],
    ids=["block-bound", "epoll-edge-listening", "block-waiting", "epoll-edge-hangs"])
def test_a_failed_version_takes_no_question(moult, load, port, options, wait):
    """It has bound the socket when it dies; no datagram went to it."""
    instance = moult().run("--ready-timeout=700ms", command=server("g1", port, wait=wait))
    client = load(f"udp:127.0.0.1:{port}", rate=500)
    client.wait_answers(50)
    for _ in range(2):
        instance.upgrade(command=server("bad", port, *options, wait=wait), expect=1)
        client.wait_answers(100, "g1")
    switched = instance.upgrade(command=server("g2", port, wait=wait)).instant
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    instance.stop("--now")


def test_a_killed_daemon_loses_only_what_it_had_taken(moult, load, port):
    """After the restart the daemon finds in its queue the questions that came meanwhile; none is
    refused."""
    instance = moult().run("--restart=always", command=server("g1", port))
    client = load(f"udp:127.0.0.1:{port}", rate=300, timeout=2000)
    client.wait_answers(50)
    old = instance.tagged("g1")[0]
    processes.kill([old.pid])
    wait_until(lambda: [p for p in instance.tagged("g1") if p.pid != old.pid], 15, instance.log)
    client.wait_answers(100)
    result = client.stop()
    assert set(result.losses) <= {"timed_out"}, result.explain()
    assert result["timed_out"] <= 8, result.explain()
    instance.stop("--now")


# ---- several sockets ----

@pytest.mark.parametrize("who", ["--reuseport", "--reuseport=master"], ids=["workers", "master"])
@pytest.mark.parametrize("wait", ["block", "epoll-edge"])
def test_the_number_of_workers_changes(moult, load, port, wait, who):
    """4, 2, 4 sockets in the group: a socket that goes takes no datagrams along."""
    def command(tag, workers):
        return server(tag, port, who, f"--processes={workers}", wait=wait)
    instance = moult().run(command=command("g1", 4))
    client = load(f"udp:127.0.0.1:{port}", rate=500)
    client.wait_answers(100)
    switched = []
    for number, workers in enumerate((2, 4), 1):
        tag = TAGS[number]
        switched.append(instance.upgrade(command=command(tag, workers)).instant)
        client.wait_answers(100, tag)
        assert len(instance.status()["listeners"]) == 1, "one queue for all of them"
    client.wait_answers(100)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS[:3], switched)
    instance.stop("--now")


def test_a_datagram_socket_that_the_next_version_drops(moult, load, port):
    """The old generation answers until it ends; questions in its last moment are lost, and later
    ones refused."""
    other = network.new_port()
    instance = moult().run("--retire-after=0s", command=server("g1", port, f"--port={other}"))
    stays = load(f"udp:127.0.0.1:{port}", rate=300)
    leaves = load(f"udp:127.0.0.1:{other}", rate=300)
    stays.wait_answers(50)
    leaves.wait_answers(50)
    instance.upgrade(command=server("g2", port))
    leaves.wait(lambda report: report["refused"] > 0, reason="it is still there")
    instance.wait_alone()
    result = leaves.stop()
    assert set(result.losses) <= {"refused", "timed_out"}, result.explain()
    assert result["timed_out"] <= 5, result.explain()
    stays.wait_answers(50, "g2")
    assert_nothing_lost(stays.stop())
    instance.stop("--now")


A_SOCKET_EACH = """
import select, socket, sys
def make():
    fd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fd.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    fd.bind(("127.0.0.1", int(sys.argv[1])))
    return fd
service, own = make(), []
while True:
    for fd in select.select([service, *own], [], [])[0]:
        if fd is service:
            data, peer = service.recvfrom(100)
            fd = make()
            fd.connect(peer)
            own.append(fd)
        else:
            data = fd.recv(100)
        fd.send(sys.argv[2].encode())
"""


def test_a_connected_socket_for_each_client(moult, port):
    """As in DTLS servers: a socket is bound to the service's address and then connected.  Such a
    socket is not handed over.  Its client stays with the old generation, which lives as long as the
    client."""
    def command(tag):
        return ["/usr/bin/python3", "-c", A_SOCKET_EACH, str(port), tag]

    def ask(client):
        client.send(b"hello")
        return client.recv(100).decode()
    instance = moult().run(command=command("g1"))
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for number, client in enumerate(clients):
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        tag = "g2" if number == 2 else "g1"
        assert [ask(client) for _ in range(3)] == [tag] * 3, instance.log()
        if number == 1:
            instance.upgrade(command=command("g2"))
            instance.wait_generation(1, lambda old: old and old["connections"] == 2)
    assert [ask(client) for client in clients] == ["g1", "g1", "g2"]
    assert len(instance.status()["listeners"]) == 1
    for client in clients:
        client.close()
    instance.stop("--now")


def test_a_stop_wakes_a_thread_blocked_in_recvfrom(moult, load, port):
    """The stop does not wait for the deadline of the drain."""
    instance = moult().run("--drain-timeout=10m", command=server("g1", port, wait="block"))
    client = load(f"udp:127.0.0.1:{port}", rate=100)
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    instance.stop()
