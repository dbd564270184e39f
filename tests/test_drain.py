# SPDX-License-Identifier: MIT
"""A generation ends when its connections have ended, at once if it has none, and completely."""

import contextlib
import os
import re
import signal
import socket

import pytest

from harness import cases, network, processes
from harness.build import program
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.waiter import waiter
from harness.waiting import wait_until


def acceptor(tag, port, model, *more):
    return [program("acceptor"), "--tag", tag, f"--model={model}", "--port", str(port), *more]


def held(load, port, count=3):
    """Connections that stay open, and no other load."""
    client = load(f"127.0.0.1:{port}", rate=0, persistent=count, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= count)
    return client


def assert_served(client, tag):
    """The held connections still get their answers, from the same generation."""
    before = client.report().persistent_tags[tag]
    client.wait(lambda report: report.persistent_tags[tag]["answered"] >=
                before["answered"] + 3 * before["open"])


MODELS = [lambda tag, port, *more: waiter(tag, port, *more)] + [
    lambda tag, port, *more, model=model: acceptor(tag, port, model, *more)
    for model in ("threads", "prefork", "fork")]
MODEL_NAMES = ["epoll", "threads", "prefork", "fork"]


@pytest.mark.parametrize("command", MODELS, ids=MODEL_NAMES)
def test_open_connections_keep_a_generation(moult, load, port, command):
    """Until the deadline, and not a moment less; then the whole tree goes."""
    instance = moult().run("--drain-timeout=1500ms", command=command("g1", port))
    client = held(load, port)
    began = client.report()["now_ns"]
    instance.upgrade(command=command("g2", port))
    assert_served(client, "g1")
    instance.wait_generation(1, lambda old: old and old["connections"] == 3)
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    result = client.wait(lambda report: report["persistent"]["lost"] == 3)
    for failure in result["failures"]:
        ended = failure["started_ns"] + failure["after_ms"] * 1e6
        assert ended - began >= 1.5e9, result.explain()
    assert "3 connections" in instance.log()
    instance.stop()


@pytest.mark.parametrize("command", MODELS, ids=MODEL_NAMES)
def test_without_connections_it_ends_at_once(moult, load, port, command):
    """Neither the drain's deadline nor the deadline before SIGKILL passes."""
    instance = moult().run("--drain-timeout=50s", "--kill-after=50s", command=command("g1", port))
    client = load(f"127.0.0.1:{port}", rate=200)
    client.wait_answers(20)
    instance.upgrade(command=command("g2", port))
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.parametrize("model", ["threads", "fork", "prefork"])
def test_connections_closed_by_fclose_are_not_waited_for(moult, load, port, model):
    """The library does not see such a close; the kernel does."""
    command = [acceptor(tag, port, model, "--stdio") for tag in ("g1", "g2")]
    instance = moult().run("--drain-timeout=50s", "--kill-after=50s", command=command[0])
    client = held(load, port, 2)
    instance.upgrade(command=command[1])
    assert_served(client, "g1")
    instance.wait_generation(1, lambda old: old and old["connections"] == 2)
    client.close_persistent()
    instance.wait_gone(1)
    assert_nothing_held_lost(client)
    instance.stop()


def test_connections_of_another_program_on_the_same_port_are_not_waited_for(moult, load, port):
    """The kernel lists them with the port, but they belong to another address."""
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(socket.create_server(("127.0.0.2", port)))
        client = stack.enter_context(socket.create_connection(("127.0.0.2", port)))
        stack.enter_context(other.accept()[0])
        instance = moult().run(command=waiter("g1", port))
        held(load, port).stop()
        instance.upgrade(command=waiter("g2", port))
        instance.wait_gone(1, 5)
        client.sendall(b"it is still there")
    instance.stop()


def assert_nothing_held_lost(client):
    result = client.stop()
    assert not result.losses, result.explain()


def test_several_generations_drain_at_once(moult, load, port):
    """Each ends with its own last connection, in whatever order."""
    instance = moult().run(command=waiter("g1", port))
    clients = {"g1": held(load, port)}
    for number, tag in ((2, "g2"), (3, "g3"), (4, "g4")):
        instance.upgrade(command=waiter(tag, port))
        instance.wait_generation(number, lambda new: new and new["state"] == "current")
        clients[tag] = held(load, port, number)
    for tag, client in clients.items():
        assert_served(client, tag)
    for number in (2, 3, 1):
        tag = f"g{number}"
        count = 3 if number == 1 else number
        instance.wait_generation(number, lambda old, n=count: old["connections"] == n)
        assert instance.generation(number)["state"] == "draining"
        clients[tag].close_persistent()
        instance.wait_gone(number)
        assert not instance.tagged(tag)
        assert_nothing_held_lost(clients.pop(tag))
        for other, client in clients.items():
            assert_served(client, other)
    assert instance.status()["upgrades"]["completed"] == 3
    assert_nothing_held_lost(clients["g4"])
    instance.stop()


def test_the_drain_signal_comes_first_and_the_stop_signal_last(moult, load, port):
    """The drain signal comes when the drain begins, the stop signal when the connections have
    ended."""
    options = (f"--report-signal={int(signal.SIGUSR1)}", f"--exit-signal={int(signal.SIGQUIT)}",
               f"--report-signal={int(signal.SIGTERM)}")
    instance = moult().run("--drain-signal=USR1", "--stop-signal=QUIT",
                           command=waiter("g1", port, *options))
    client = held(load, port)
    instance.upgrade(command=waiter("g2", port, *options))
    instance.wait_log(rf"waiter g1: signal {int(signal.SIGUSR1)}\n")
    assert_served(client, "g1")
    assert f"waiter g1: signal {int(signal.SIGQUIT)}\n" not in instance.log()
    client.close_persistent()
    instance.wait_gone(1)
    log = instance.log()
    assert log.count(f"waiter g1: signal {int(signal.SIGUSR1)}\n") == 1
    assert log.count(f"waiter g1: signal {int(signal.SIGQUIT)}\n") == 1
    assert f"waiter g1: signal {int(signal.SIGTERM)}\n" not in log
    assert "waiter g2: signal" not in log
    assert_nothing_held_lost(client)
    instance.stop()


@pytest.mark.parametrize("options", [(), ("--habit=daemon",), ("--processes=4",)],
                         ids=["one", "daemonised", "four"])
def test_a_daemon_that_ignores_the_stop_signal_is_killed(moult, load, port, options):
    ignore = f"--ignore-signal={int(signal.SIGTERM)}"
    instance = moult().run("--kill-after=300ms", command=waiter("g1", port, ignore, *options))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    instance.upgrade(command=waiter("g2", port, ignore, *options))
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


def test_helpers_in_their_own_sessions_end_too(moult, load, port):
    """The first process of a draining generation has left other processes behind; all of them
    end."""
    instance = moult().run("--kill-after=300ms", command=waiter("g1", port, "--processes=4"))
    master = next(p for p in instance.tagged("g1") if len(processes.descendants(p.pid)) == 4)
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    os.kill(master.pid, signal.SIGKILL)
    instance.wait_log(r".")
    client.wait_answers(50)  # the children go on serving
    instance.upgrade(command=waiter("g2", port))
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


def test_upgrade_wait_returns_when_the_old_generation_has_ended(moult, load, port):
    instance = moult().run(command=waiter("g1", port))
    client = held(load, port)
    command = instance.start_command("upgrade", instance.name, "--wait", "--",
                                     *waiter("g2", port))
    instance.wait_generation(1, lambda old: old and old["state"] == "draining")
    assert_served(client, "g1")
    instance.wait_generation(2, lambda new: new and new["state"] == "current")
    assert command.poll() is None
    client.close_persistent()
    _, err = command.communicate(timeout=20)
    assert command.returncode == 0, err
    assert [g["id"] for g in instance.status()["generations"]] == [2]
    assert not instance.tagged("g1")
    assert_nothing_held_lost(client)
    instance.stop()


def test_upgrade_tells_what_happens(moult, load, port):
    """One line per event on stderr, nothing on stdout."""
    instance = moult().run(command=waiter("g1", port))
    result = instance.upgrade("--wait", command=waiter("g2", port))
    assert result.stdout == ""
    told = result.stderr.splitlines()
    for pattern in (r"generation 2: started, pid \d+", r"generation 2: .*ready after [\d.]+ m?s",
                    r"generation 1: draining, 0 connections", r"generation 1: drained after "):
        assert any(re.match(pattern, line) for line in told), (pattern, told)
    instance.stop()


def test_stop_drains(moult, load, port):
    """Open connections are served to their end; then the launcher ends with status 0."""
    instance = moult().run(command=waiter("g1", port))
    client = held(load, port)
    stop = instance.start_command("stop", instance.name)
    wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
    assert_served(client, "g1")
    assert stop.poll() is None and instance.process.poll() is None
    client.close_persistent()
    _, err = stop.communicate(timeout=20)
    assert stop.returncode == 0, err
    assert instance.wait_ended() == 0
    assert_nothing_held_lost(client)
    assert not processes.descendants(), instance.log()


def test_stop_now_does_not_drain(moult, load, port):
    instance = moult().run("--drain-timeout=50s", command=waiter("g1", port))
    client = held(load, port)
    instance.stop("--now")
    client.wait(lambda report: report["persistent"]["lost"] == 3)
    assert not processes.descendants(instance.process.pid)


def test_stop_ends_draining_generations_too(moult, load, port):
    """Older generations drain until their own deadline, and no longer."""
    instance = moult().run("--drain-timeout=2s", command=waiter("g1", port))
    client = held(load, port)
    instance.upgrade(command=waiter("g2", port))
    assert_served(client, "g1")
    instance.stop()
    client.wait(lambda report: report["persistent"]["lost"] == 3)
    assert not instance.tagged("g1") and not instance.tagged("g2")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_that_end_the_launcher(moult, load, port, number):
    """TERM drains, INT and QUIT do not."""
    instance = moult().run("--drain-timeout=50s", command=waiter("g1", port))
    client = held(load, port)
    instance.signal(number)
    if number == signal.SIGTERM:
        wait_until(lambda: instance.status()["state"] == "draining", 10, instance.log)
        assert_served(client, "g1")
        client.close_persistent()
        client.wait(lambda report: report["persistent"]["closed"] == 3)
    assert instance.wait_ended() == 0
    result = client.stop()
    assert bool(result.losses) == (number != signal.SIGTERM), result.explain()
    assert not processes.descendants(), instance.log()


def test_hup_upgrades_and_usr1_reports(moult, load, port):
    """As init scripts expect: HUP is an upgrade with the same command."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    instance.signal(signal.SIGUSR1)
    instance.wait_log(r"generation 1: .*current")
    instance.signal(signal.SIGHUP)
    wait_until(lambda: instance.status()["upgrades"]["completed"] == 1, 15, instance.log)
    instance.wait_gone(1)
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    assert instance.generation(2)["command"] == waiter("g1", port)
    instance.stop()


def test_clients_queued_at_a_retired_port_are_served(moult, port):
    """The old generation is busy with one client while its port is retired; the queued clients
    wait, and none is reset."""
    old_port = network.new_port()
    instance = moult().run("--retire-after=0s", command=acceptor("g1", old_port, "single"))
    clients = [socket.create_connection(("127.0.0.1", old_port), 10) for _ in range(6)]
    for client in clients[1:]:
        client.sendall(b"hello\n")
    wait_until(lambda: instance.status()["listeners"][0]["queued"] == 5, 10, instance.log)
    instance.upgrade(command=acceptor("g2", port, "single"))
    assert ask(port).startswith("GEN g2 ")
    wait_until(lambda: "generation 1: draining" in instance.log(), 10, instance.log)
    clients[0].sendall(b"hello\n")
    for client in clients:
        assert client.makefile().readline().startswith("GEN g1 "), instance.log()
        client.close()
    instance.wait_alone()
    assert not listens("127.0.0.1", old_port)
    instance.stop()


@pytest.mark.parametrize("waits", [("--wait=epoll", "--nonblocking"), ("--wait=select",)],
                         ids=["epoll", "select-blocking"])
def test_a_port_that_the_next_version_drops(moult, load, port, waits):
    """No queued client is reset, open connections go on, later clients are refused, and a new port
    is served."""
    def command(tag, other):
        return [program("waiter"), "--tag", tag, *waits, "--port", str(port), "--port", str(other)]
    old_port, new_port = network.new_port(), network.new_port()
    instance = moult().run("--retire-after=0s", command=command("g1", old_port))
    stays = load(f"127.0.0.1:{port}", rate=300)
    leaves = load(f"127.0.0.1:{old_port}", rate=300, persistent=3, persistent_every=20)
    stays.wait_answers(50)
    leaves.wait(lambda report: report["persistent"]["answered"] >= 9)
    instance.upgrade(command=command("g2", new_port))
    assert ask(new_port).startswith("GEN g2 ")
    report = leaves.wait(lambda report: report["refused"] > 0, reason="it still listens")
    leaves.wait(lambda later: later["persistent"]["answered"] >=
                report["persistent"]["answered"] + 9)
    leaves.close_persistent()
    instance.wait_alone()
    result = leaves.stop()
    assert set(result.losses) <= {"refused"}, result.explain()
    assert_nothing_lost(stays.stop())
    assert sorted(listener["address"] for listener in instance.status()["listeners"]) == sorted(
        f"tcp:127.0.0.1:{number}" for number in (port, new_port))
    instance.stop()


def test_more_than_max_draining_ends_the_oldest(moult, load, port):
    """The oldest generation loses its connections, the others do not."""
    instance = moult().run("--max-draining=2", command=waiter("g1", port))
    clients = {}
    for tag, after in (("g1", "g2"), ("g2", "g3"), ("g3", "g4")):
        clients[tag] = held(load, port)
        instance.upgrade(command=waiter(after, port))
    clients["g1"].wait(lambda report: report["persistent"]["lost"] == 3)
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    for tag in ("g2", "g3"):
        assert_served(clients[tag], tag)
        clients[tag].close_persistent()
        assert_nothing_held_lost(clients[tag])
    instance.wait_alone()
    instance.stop()


def cpu_seconds(pids):
    """User and system time those processes have used, threads and all."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def assert_sleeps(pids, client):
    """At most the connections of others wake these processes; they do not spin."""
    pids = list(pids)
    before, began = cpu_seconds(pids), client.report()["elapsed_ms"]
    client.wait(lambda report: report["elapsed_ms"] >= began + 500)
    used = cpu_seconds(pids) - before
    assert used < 0.1, f"{used} s of processor time in 0.5 s"


@pytest.mark.parametrize("case", cases.WAITS, ids=cases.ids)
def test_a_generation_that_may_not_accept_sleeps(moult, load, port, directory, case):
    """Before the switch the next generation, after the switch the old one: both see every
    connection arrive."""
    flag = directory / "ready"
    instance = moult().run_ready_by(flag, port, case.command("g1", [port]))
    client = load(f"127.0.0.1:{port}", rate=100, persistent=1 if case.persistent else 0,
                  persistent_every=60000)
    client.wait_answers(10, "g1")
    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *case.command("g2", [port]))
    instance.wait_generation(2, lambda new: new and new["state"] == "next" and
                             new["processes"] > case.command("", []).count("--processes=4") * 4)
    assert_sleeps([p.pid for p in instance.tagged("g2")], client)
    flag.touch()
    _, err = upgrade.communicate(timeout=20)
    assert upgrade.returncode == 0, err
    if case.persistent:
        assert_sleeps([p.pid for p in instance.tagged("g1")], client)
    assert_nothing_lost(client.stop())
    instance.stop("--now")


def test_stop_now_waits_for_a_daemon_that_ignores_the_stop_signal(moult, port):
    """It takes longer than a command normally waits for an answer, and does not report a failure
    meanwhile."""
    instance = moult().run("--kill-after=6s", command=waiter("g1", port, "--ignore-signal=15"))
    instance.stop("--now")
    assert not processes.descendants(), instance.log()
