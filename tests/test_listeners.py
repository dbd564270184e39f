# SPDX-License-Identifier: MIT
"""Which listeners a daemon has: many, more or fewer than before, other addresses on the same
port."""

import os
import signal
import socket
import sys

import pytest

from harness import network, processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask, listens
from harness.waiter import waiter
from harness.waiting import wait_until

WAITS = {
    "epoll": ("waiter", "--wait=epoll", "--nonblocking"),
    "select-blocking": ("waiter", "--wait=select"),
    "accept-threads": ("acceptor", "--model=threads"),
}


ABOVE = 31000  # above those of network.new_port(), below the ephemeral ones


def daemon(wait, tag, *where):
    words = WAITS[wait]
    return [program(words[0]), "--tag", tag, *words[1:], *map(str, where)]


def epoll(tag, *where):
    return daemon("epoll", tag, *where)


def listening(instance):
    return sorted(row["address"] for row in instance.status()["listeners"])


# ---- many ----

@pytest.mark.parametrize("count, wait", [(100, "epoll"), (100, "select-blocking"),
                                         (1000, "epoll")])
def test_many_listeners(moult, load, count, wait):
    """Each listener is handed over twice, under a load that comes to all of them in turn."""
    first = ABOVE
    ports = range(first, first + count)
    where = f"--ports={ports[0]}-{ports[-1]}"
    instance = moult().run(command=daemon(wait, "g1", where))
    assert len(instance.status()["listeners"]) == count
    client = load([f"127.0.0.1:{port}" for port in ports], rate=1000)
    client.wait_answers(count)
    switched = []
    for number, tag in enumerate(("g2", "g3"), 1):
        switched.append(instance.upgrade(command=daemon(wait, tag, where)).instant)
        client.wait_answers(count, tag)
        instance.wait_gone(number)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    rows = instance.status()["listeners"]
    assert len(rows) == count and all(row["adopted"] for row in rows)
    instance.stop()


def test_a_hundred_ports_are_added_and_a_hundred_dropped(moult, load, port):
    """New ports are served at once; dropped ports are refused afterwards, and no connection is
    reset."""
    first = ABOVE
    goes = [f"127.0.0.1:{number}" for number in range(first, first + 100)]
    instance = moult().run("--retire-after=0s", command=epoll("g1", f"--port={port}"))
    stays = load(f"127.0.0.1:{port}", rate=300)
    stays.wait_answers(50)
    instance.upgrade(command=epoll("g2", f"--port={port}", f"--ports={first}-{first + 99}"))
    leaves = load(goes, rate=600)
    leaves.wait_answers(200, "g2")
    instance.upgrade(command=epoll("g3", f"--port={port}"))
    leaves.wait(lambda report: report["refused"] > 100, reason="they still listen")
    instance.wait_alone()
    result = leaves.stop()
    assert set(result.losses) <= {"refused"}, result.explain()
    assert list(result.tags) == ["g2"]
    stays.wait_answers(50, "g3")
    assert_nothing_lost(stays.stop())
    assert listening(instance) == [f"tcp:127.0.0.1:{port}"]
    instance.stop()


def test_each_generation_drops_one_port_and_adds_one(moult, load):
    """The ports that stay are never refused."""
    ports = [network.new_port() for _ in range(5)]
    def command(tag, start):
        return epoll(tag, *(f"--port={port}" for port in ports[start:start + 3]))
    instance = moult().run("--retire-after=0s", command=command("g1", 0))
    client = load(f"127.0.0.1:{ports[2]}", rate=600, persistent=3)
    client.wait_answers(50)
    switched = []
    for start, tag in ((1, "g2"), (2, "g3")):
        switched.append(instance.upgrade(command=command(tag, start)).instant)
        assert ask(ports[start + 2]).startswith(f"GEN {tag} ")
        client.renew()
        instance.wait_gone(start)
        wait_until(lambda s=start: not listens("127.0.0.1", ports[s - 1]), 10, instance.log)
    client.wait_answers(50, "g3")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.stop()


# ---- who calls listen() ----

def test_workers_that_all_listen_on_an_inherited_socket(moult, load):
    """The workers call listen() at the same time, and their sockets still are one listener.  A
    second listener would find no successor at the next upgrade and be shut down."""
    ports = range(ABOVE, ABOVE + 20)

    def command(tag):
        return epoll(tag, f"--ports={ports[0]}-{ports[-1]}", "--habit=listen-together")
    instance = moult().run(command=command("g1"))
    assert len(instance.status()["listeners"]) == len(ports)
    client = load([f"127.0.0.1:{port}" for port in ports], rate=600, persistent=4,
                  persistent_every=30)
    client.wait_answers(50)
    switched = []
    for number, tag in enumerate(("g2", "g3"), 1):
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(50, tag)
        client.renew()
        instance.wait_gone(number)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    assert len(instance.status()["listeners"]) == len(ports)
    instance.stop()


# ---- is another one running? ----

@pytest.mark.parametrize("where", [("--host=127.0.0.1",), ("--host=0.0.0.0",), ("--family=6",),
                                   ("--family=dual",), ("--family=both",)],
                         ids=lambda where: where[0][2:])
def test_a_daemon_that_probes_its_own_port_finds_it_free(moult, load, port, where):
    """So the daemon starts.  Connections of clients reach the current generation meanwhile."""
    def command(tag):
        return epoll(tag, f"--port={port}", "--habit=connect-test", *where)
    host = "[::1]" if where == ("--family=6",) else "127.0.0.1"
    instance = moult().run(command=command("g1"))
    client = load(f"{host}:{port}", rate=600, persistent=2, persistent_every=30)
    client.wait_answers(50)
    switched = [instance.upgrade(command=command("g2")).instant]
    client.wait_answers(50, "g2")
    client.renew()
    instance.wait_gone(1)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], switched)
    instance.stop()


def test_a_restarted_daemon_that_probes_its_own_port_finds_it_free(moult, port):
    """The queue still exists, so a connection would succeed and look like an answer."""
    instance = moult().run("--restart=always", command=epoll(
        "g1", f"--port={port}", "--habit=connect-test"))
    processes.kill([process.pid for process in instance.tagged("g1")])
    assert ask(port).startswith("GEN g1 ")
    assert "already running" not in instance.log()
    instance.stop()


# Connects to its second word, then executes the rest.
CALLER = """import os, socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
os.execv(sys.argv[3], sys.argv[3:])"""


@pytest.mark.parametrize("mine, theirs", [("127.0.0.1", "127.0.0.2"), ("::1", "127.0.0.1")])
def test_a_daemon_that_probes_its_port_finds_another_service(moult, plain, port, mine, theirs):
    """The other service has the same port at another address."""
    plain(epoll("other", f"--port={port}", f"--host={theirs}")).wait_listening(port, theirs)
    command = [[sys.executable, "-c", CALLER, theirs, str(port),
                *epoll(tag, f"--port={port}", f"--host={mine}")] for tag in ("g1", "g2")]
    instance = moult().run(command=command[0])
    instance.upgrade(command=command[1])
    assert ask(port, mine).startswith("GEN g2 ")
    instance.stop()


# ---- another address on the same port ----

CHANGES = {
    "wildcard": (("--host=127.0.0.1",), ("--host=0.0.0.0",), ["127.0.0.1"]),
    "dual-stack": (("--family=4",), ("--family=dual",), ["127.0.0.1"]),
    "wildcard-dual-stack": (("--host=0.0.0.0",), ("--family=dual",), ["127.0.0.1"]),
    "ipv6-dual-stack": (("--family=6",), ("--family=dual",), ["[::1]"]),
    "both-dual-stack": (("--family=both",), ("--family=dual",), ["127.0.0.1", "[::1]"]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("wait", ["epoll", "select-blocking"])
def test_the_address_is_changed_and_changed_back(moult, load, port, change, wait):
    """The wider address conflicts with the narrower one, which the old generation still has.  No
    connection is lost in either direction, and each generation serves what it has bound."""
    narrow, wide, hosts = CHANGES[change]
    instance = moult().run(command=daemon(wait, "g1", f"--port={port}", *narrow))
    client = load([f"{host}:{port}" for host in hosts], rate=600, persistent=4,
                  persistent_every=30)
    client.wait(lambda report: report["answered"] >= 50 and report["persistent"]["answered"] >= 4)
    switched = []
    for number, (tag, options) in enumerate((("g2", wide), ("g3", narrow), ("g4", wide)), 1):
        switched.append(instance.upgrade(
            command=daemon(wait, tag, f"--port={port}", *options)).instant)
        client.wait_answers(50, tag)
        client.renew()
        instance.wait_gone(number)
        if options == wide:
            assert ask(port, "127.0.0.2" if "6" not in change else "::1").startswith(f"GEN {tag} ")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3", "g4"], switched)
    instance.wait_alone()
    assert len(instance.status()["listeners"]) == 1
    instance.stop()


def test_an_upgrade_to_an_unrelated_address(moult, load, port):
    """From 127.0.0.1 to 127.0.0.2 on one port: one address appears, the other disappears."""
    instance = moult().run("--retire-after=0s", command=epoll("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300, persistent=2)
    client.wait_answers(50)
    instance.upgrade(command=epoll("g2", f"--port={port}", "--host=127.0.0.2"))
    assert ask(port, "127.0.0.2").startswith("GEN g2 ")
    client.wait(lambda report: report["refused"] > 0, reason="it still listens")
    client.close_persistent()
    instance.wait_alone()
    result = client.stop()
    assert set(result.losses) <= {"refused"}, result.explain()
    assert listening(instance) == [f"tcp:127.0.0.2:{port}"]
    instance.stop()


@pytest.mark.parametrize("change", ["wildcard", "dual-stack"])
@pytest.mark.parametrize("options", [
    ("--fail=exit1", "--fail-at=bound"), ("--fail=exit1", "--fail-at=listening"),
    ("--fail=die-soon", "--fail-at=waiting")], ids=["bound", "listening", "after-the-switch"])
def test_a_failed_version_with_another_address_leaves_no_trace(moult, load, port, change, options):
    """The address is the old one again, and the next version can have either address."""
    narrow, wide, hosts = CHANGES[change]
    instance = moult().run(command=epoll("g1", f"--port={port}", *narrow))
    before = listening(instance)
    client = load(f"{hosts[0]}:{port}", rate=600, persistent=3)
    client.wait_answers(50)
    for _ in range(2):
        instance.upgrade(command=epoll("bad", f"--port={port}", *wide, *options), expect=1)
        client.wait_answers(50, "g1")
        assert listening(instance) == before
    with pytest.raises(ConnectionRefusedError):
        ask(port, "127.0.0.2")
    client.renew()
    client.wait_answers(20, "g1")
    for tag, where in (("g2", narrow), ("g3", wide)):
        instance.upgrade(command=epoll(tag, f"--port={port}", *where))
        client.renew()
        client.wait_answers(50, tag)
    assert_nothing_lost(client.stop())
    instance.stop()


# ---- ports the kernel chooses ----

def test_two_ports_the_kernel_has_chosen_are_kept(moult, load):
    """In the order of the binds; they stay two different ports."""
    command = ["--port=0", "--port=0"]
    instance = moult().run(command=epoll("g1", *command))
    addresses = [row["address"] for row in instance.status()["listeners"]]
    assert len(set(addresses)) == 2
    client = load([address.removeprefix("tcp:") for address in addresses], rate=600, persistent=4)
    client.wait_answers(50)
    switched = []
    for tag in ("g2", "g3"):
        switched.append(instance.upgrade(command=epoll(tag, *command)).instant)
        client.renew()
        client.wait_answers(50, tag)
        assert [row["address"] for row in instance.status()["listeners"]] == addresses
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.stop()


# ---- a port of another program ----

@pytest.mark.parametrize("where, mine", [
    ("127.0.0.1", ("--host=127.0.0.1",)), ("127.0.0.1", ("--host=0.0.0.0",)),
    ("0.0.0.0", ("--host=127.0.0.1",)), ("127.0.0.1", ("--family=dual",))],
    ids=["same", "wildcard-over-it", "below-a-wildcard", "dual-stack-over-it"])
def test_a_port_of_another_program_is_not_taken(moult, load, port, where, mine):
    """bind() fails with EADDRINUSE as without moult, and the upgrade fails with that reason."""
    other = network.new_port()
    with socket.socket() as stranger:
        stranger.bind((where, other))
        stranger.listen(5)
        instance = moult().run(command=epoll("g1", f"--port={port}"))
        client = load(f"127.0.0.1:{port}", rate=300)
        client.wait_answers(20)
        result = instance.upgrade(command=epoll("g2", f"--port={port}", f"--port={other}", *mine),
                                  expect=1)
        assert "Address already in use" in result.stderr, result.stderr
        client.wait_answers(20, "g1")
        assert_nothing_lost(client.stop())
        assert listening(instance) == [f"tcp:127.0.0.1:{port}"]
    instance.upgrade(command=epoll("g3", f"--port={port}", f"--port={other}"))
    assert ask(other).startswith("GEN g3 ")
    instance.stop()


# ---- binding again while it serves ----

def bind_again(instance, tag):
    """Sends the signal until the daemon reports the bind: the signal may come when it interrupts no
    wait."""
    process, = instance.tagged(tag)
    start = len(instance.log())
    os.kill(process.pid, signal.SIGUSR2)
    wait_until(lambda: f"{tag}: bound again" in instance.log()[start:], 10, instance.log)


REBIND = f"--rebind-signal={int(signal.SIGUSR2)}"


@pytest.mark.parametrize("wait", ["epoll", "select-blocking"])
def test_a_reload_that_binds_the_same_address_again(moult, load, port, wait):
    """The daemon closes the listener and binds the same address: no client is refused or reset, in
    the first generation as in a later one, and the next upgrade works."""
    instance = moult().run(command=daemon(wait, "g1", f"--port={port}", REBIND))
    client = load(f"127.0.0.1:{port}", rate=300, persistent=3)
    client.wait_answers(50)
    bind_again(instance, "g1")
    client.wait_answers(50, "g1")
    switched = []
    for number, tag in enumerate(("g2", "g3"), 1):
        switched.append(instance.upgrade(
            command=daemon(wait, tag, f"--port={port}", REBIND)).instant)
        client.renew()
        instance.wait_gone(number)
        for _ in range(2):
            bind_again(instance, tag)
            client.wait_answers(50, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    assert listening(instance) == [f"tcp:127.0.0.1:{port}"]
    instance.stop()


@pytest.mark.parametrize("wait", ["epoll", "select-blocking"])
def test_an_old_generation_that_binds_again(moult, load, port, wait):
    """Some servers bind again after each client.  The old generation gets its address, although it
    may not accept.  Otherwise it would end together with the connections that it still has."""
    instance = moult().run(command=daemon(wait, "g1", f"--port={port}", REBIND))
    client = load(f"127.0.0.1:{port}", rate=300, persistent=3, persistent_every=20)
    client.wait_answers(50)
    switched = instance.upgrade(command=daemon(wait, "g2", f"--port={port}", REBIND)).instant
    for _ in range(2):
        bind_again(instance, "g1")
        before = client.report().persistent_tags["g1"]["answered"]
        client.wait(lambda report: report.persistent_tags["g1"]["answered"] >= before + 10)
        client.wait_answers(50, "g2")
    client.renew()
    instance.wait_gone(1)
    instance.upgrade(command=daemon(wait, "g3", f"--port={port}", REBIND))
    client.wait_answers(50, "g3")
    result = client.stop()
    assert_nothing_lost(result)
    assert result.tags["g1"]["last_started_ns"] < switched
    instance.stop()


def test_a_backlog_is_not_lowered_while_two_share_it(moult, load, port):
    """listen() with a smaller number in the next generation takes effect when the old generation
    has ended."""
    instance = moult().run(command=waiter("g1", port, "--backlog=200"))
    client = load(f"127.0.0.1:{port}", rate=0, persistent=2)
    client.wait(lambda report: report["persistent"]["answered"] >= 2)
    instance.upgrade(command=waiter("g2", port, "--backlog=20", "--habit=listen-twice"))
    assert ask(port).startswith("GEN g2 ")
    client.close_persistent()
    instance.wait_gone(1)
    assert not client.stop().losses
    instance.stop()


def test_one_listener_is_added_and_later_dropped(moult, load, port):
    """The new one is there after the switch; the dropped one ends without a lost connection."""
    other = network.new_port()
    instance = moult().run("--retire-after=0s", command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    instance.upgrade(command=waiter("g2", port, "--port", str(other)))
    assert ask(other).startswith("GEN g2 ")
    addresses = [row["address"] for row in instance.status()["listeners"]]
    assert addresses == [f"tcp:127.0.0.1:{port}", f"tcp:127.0.0.1:{other}"]
    instance.wait_gone(1)
    instance.upgrade(command=waiter("g3", port))
    instance.wait_gone(2)
    wait_until(lambda: not listens("127.0.0.1", other), 10, instance.log)
    assert [row["address"] for row in instance.status()["listeners"]] == [
        f"tcp:127.0.0.1:{port}"]
    client.wait_answers(20, "g3")
    assert_nothing_lost(client.stop())
    instance.stop()
