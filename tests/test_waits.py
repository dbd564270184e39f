# SPDX-License-Identifier: MIT
"""Upgrades under load with every way to wait, process model and habit: no client notices."""

import os
import signal
import socket

import pytest

from harness import cases, network, processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask
from harness.waiting import wait_until

TAGS = ["g1", "g2", "g3", "g4", "g5", "g6"]


def assert_only_left(instance, tag):
    """Only that generation has processes, and the status says the same."""
    for generation in instance.status()["generations"]:
        assert generation["state"] == "current"
        assert tag in generation["command"]
    for old in TAGS:
        left = instance.tagged(old)
        assert bool(left) == (old == tag), f"{old}: {left}\n{instance.log()}"


def hold_across_one_upgrade(instance, client, case):
    """The old generation serves its connections, and ends when they end, not before."""
    before = client.report().persistent_tags["g1"]
    assert before["open"] == case.persistent
    client.wait(lambda report: report.persistent_tags["g1"]["answered"] >=
                before["answered"] + 3 * case.persistent, reason="the old one no longer answers")
    instance.wait_generation(1, lambda old: old and old["connections"] == case.persistent)
    assert instance.generation(1)["state"] == "draining"
    assert instance.tagged("g1")
    client.renew()
    instance.wait_gone(1)
    assert not instance.tagged("g1")


@pytest.mark.parametrize("case", cases.ALL, ids=cases.ids)
def test_five_upgrades_lose_nothing(moult, load, case):
    ports = [network.new_port() for _ in range(case.ports)]
    instance = moult().run(command=case.command("g1", ports))
    client = load(case.addresses(ports), rate=case.rate, persistent=case.persistent,
                  persistent_every=50)
    client.wait(lambda report: report["answered"] >= 100 and
                report["persistent"]["answered"] >= case.persistent)
    switched = []
    for tag in TAGS[1:]:
        switched.append(instance.upgrade(command=case.command(tag, ports)).instant)
        if tag == "g2" and case.persistent:
            hold_across_one_upgrade(instance, client, case)
        else:
            client.renew()
    client.wait_answers(100, "g6")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.wait_alone()
    assert_only_left(instance, "g6")
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (5, 0)
    instance.stop()
    assert not processes.descendants(), instance.log()
    # the daemon must not see the launcher's own connections
    assert "a silent connection" not in instance.log()


MIXED = ["epoll-edge-nonblocking", "poll-blocking", "accept-threads", "epoll-edge-exclusive-"
         "4-processes", "accept-prefork", "select-blocking"]


@pytest.mark.parametrize("order", [MIXED, MIXED[::-1]], ids=["there", "and-back"])
def test_generations_may_differ_in_o_nonblock(moult, load, port, order):
    """One wants O_NONBLOCK on the listener, the next does not; they share the file description."""
    kinds = {case.name: case for case in cases.WAITS}
    commands = [kinds[name].command(tag, [port]) for name, tag in zip(order, TAGS)]
    instance = moult().run(command=commands[0])
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(50)
    switched = [instance.upgrade(command=command).instant for command in commands[1:]]
    client.wait_answers(50, "g6")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.wait_alone()
    assert_only_left(instance, "g6")
    instance.stop()


@pytest.mark.parametrize("old, new", [
    ("accept-threads", "fcntl-late-epoll-edge"), ("accept-prefork", "ioctl-late-poll"),
    ("select-blocking", "epoll-edge-nonblocking"), ("epoll-edge-nonblocking", "accept-pool"),
    ("epoll-edge-nonblocking", "blocking-late-select")])
def test_o_nonblock_of_the_next_generation_does_not_reach_the_current_one(moult, load, port, directory, old, new):
    """The next one sets the flag while it waits for its turn. A current generation that blocks
    would see EAGAIN and end; one that accepts until EAGAIN would hang."""
    kinds = {case.name: case for case in cases.ALL}
    flag = directory / "ready"
    instance = moult().run_ready_by(flag, port, kinds[old].command("g1", [port]))
    client = load(f"127.0.0.1:{port}", rate=600, persistent=2)
    client.wait_answers(50)
    for tag, kind in (("g2", new), ("g3", old), ("g4", new)):
        flag.unlink(missing_ok=True)
        upgrade = instance.start_command("upgrade", instance.name, "--",
                                         *kinds[kind].command(tag, [port]))
        number = int(tag[1:])
        instance.wait_generation(number, lambda g: g and g["state"] == "next" and g["processes"])
        client.wait_answers(150, TAGS[number - 2])
        flag.touch()
        _, err = upgrade.communicate(timeout=20)
        assert upgrade.returncode == 0, f"{err}\n{instance.log()}"
        client.renew()
        instance.wait_gone(number - 1)
    client.wait_answers(50, "g4")
    assert_nothing_lost(client.stop())
    instance.stop()


LONELY = [case for case in cases.WAITS
          if "exclusive" in case.name or "shared" in case.name or case.name.startswith("accept-p")
          or case.name in ("accept-single", "poll-blocking", "epoll-edge-4-processes")]


@pytest.mark.parametrize("case", LONELY, ids=cases.ids)
def test_a_lone_client_is_never_stalled(moult, port, case):
    """One connection at a time: if the old generation swallows the wake-up, no other process
    wakes."""
    instance = moult().run(command=case.command("g1", [port]))
    assert ask(port).split()[:2] == ["GEN", "g1"]
    for tag in TAGS[1:4]:
        command = instance.start_command("upgrade", instance.name, "--",
                                         *case.command(tag, [port]))
        answers = 0
        while command.poll() is None:
            assert ask(port).startswith("GEN ")
            answers += 1
        out, err = command.communicate()
        assert command.returncode == 0, f"{out}{err}\n{instance.log()}"
        assert ask(port).split()[:2] == ["GEN", tag]
        assert answers > 10
    instance.stop()
    assert "a silent connection" not in instance.log()


@pytest.mark.parametrize("case", cases.WAITS, ids=cases.ids)
def test_the_first_connection_after_an_idle_switch(moult, load, port, case):
    """No client comes during the switch, so threads that sit in accept() must be woken.  A
    connection keeps the old generation alive, so it could still take the next one."""
    instance = moult().run(command=case.command("g1", [port]))
    client = load(f"127.0.0.1:{port}", rate=0, persistent=1 if case.persistent else 0)
    client.wait(lambda report: report["persistent"]["answered"] >= report["persistent"]["started"])
    for old, tag in zip(TAGS, TAGS[1:4]):
        instance.upgrade(command=case.command(tag, [port]))
        assert instance.tagged(old) or not case.persistent
        for _ in range(10):
            assert ask(port).split()[:2] == ["GEN", tag]
        client.renew()
    assert not client.stop().losses
    instance.stop()


@pytest.mark.parametrize("wait", ["poll", "ppoll", "select", "pselect"])
def test_a_connection_for_the_next_generation_does_not_end_a_wait_of_the_old_one(moult, port, wait):
    """The old generation sleeps when its gate closes, and the next connection wakes it. If its
    wait reported that connection, a server that does not expect accept() to fail would end or
    block."""
    command = [program("waiter"), f"--wait={wait}", f"--port={port}", "--habit=strict-accept",
               "--tag"]
    instance = moult().run(command=[*command, "g1"])
    for number, (old, tag) in enumerate((("g1", "g2"), ("g2", "g3")), 1):
        with socket.create_connection(("127.0.0.1", port), 10) as stays:
            answers = stays.makefile()
            stays.sendall(b"hello\n")
            assert answers.readline().startswith(f"GEN {old} ")
            instance.upgrade(command=[*command, tag])
            for _ in range(5):
                assert ask(port).startswith(f"GEN {tag} ")
            stays.sendall(b"hello\n")
            assert answers.readline().startswith(f"GEN {old} "), instance.log()
            answers.close()
        instance.wait_gone(number)
    instance.stop()


@pytest.mark.parametrize("wait", ["poll", "ppoll", "select", "pselect", "epoll"])
def test_a_signal_handler_sees_the_signal_mask_of_the_daemon(moult, load, port, wait):
    """Also while a gate is closed: some runtimes inspect the code that they have interrupted, and
    abort."""
    command = [program("waiter"), f"--wait={wait}", f"--port={port}", "--habit=strict-signals",
               "--tag"]
    instance = moult().run(command=[*command, "g1"])
    client = load(f"127.0.0.1:{port}", rate=100, persistent=2, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 2)
    instance.upgrade(command=[*command, "g2"])
    [old] = instance.tagged("g1")
    for number in range(1, 6):
        os.kill(old.pid, signal.SIGUSR1)
        wait_until(lambda n=number: instance.log().count("heard") >= n, 10, instance.log)
    before = client.report()["persistent"]["answered"]
    client.wait(lambda report: report["persistent"]["answered"] >= before + 4)
    client.renew()
    instance.wait_gone(1)
    assert_nothing_lost(client.stop())
    instance.stop()
