# SPDX-License-Identifier: MIT
"""Every way to close, move or wait for a descriptor: no connection is lost, and no descriptor stays
open.

The launcher holds the socket, too, so a close does not remove the socket from an epoll instance.
The entry would report events for ever, and no process could remove it.
"""

import os
import re
import signal
import socket

import pytest

from harness import network
from harness.build import program
from harness.cases import FORKS
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask, listens
from harness.registrations import stale_entries, inode_of, registrations
from harness.waiting import wait_until

TAGS = ["g1", "g2", "g3"]
WAITS = ["epoll_wait", "epoll_pwait", "sys-epoll_pwait2", "epoll_pwait2", "poll", "ppoll",
         "poll_chk", "ppoll_chk", "select", "pselect6", "high-select", "high-pselect",
         "high-sys-select"]
MOVES = ["dup", "dup2", "dup3", "dupfd", "dupfd-cloexec", "sys-dup", "sys-dup2", "sys-dup3",
         "sys-fcntl"]
CLOSES = ["close", "fclose", "freopen", "range", "unshare", "closefrom", "sys-close",
          "sys-close_range", "dup2", "dup3", "sys-dup2", "sys-dup3", "shutdown"]
EPOLLS = ["close", "range", "sys-close", "over", "dup", "dup2", "dupfd"]
CHILDREN = ["fork", "fork-closefrom", "fork-unshare", "vfork", "vfork-exec", "spawn",
            "thread-unshare"]
INETDS = ["spawn", "spawnp", "steps", "fork", "vfork"]


def closer(tag, model, *ports, name="closer"):
    words = [program(name), "--tag", tag, f"--model={model}", "--nonblocking"]
    for port in ports:
        words += ["--port", str(port)]
    return words


def watches(instance, tag, inode):
    """How many entries for the listener the epoll instances of that tag's processes have."""
    return sum(entry[1] == inode for process in instance.tagged(tag)
               for entry in registrations(process.pid))


def upgrade_under_load(moult, load, port, command, persistent=2, rate=300):
    """Makes two upgrades under load; the first one finds connections that stay for a while."""
    instance = moult().run(command=command("g1"))
    inode = inode_of(port)
    client = load(f"127.0.0.1:{port}", rate=rate, persistent=persistent, persistent_every=20)
    client.wait(lambda report: report["answered"] >= 30 and
                report["persistent"]["answered"] >= persistent)
    watched = watches(instance, "g1", inode)
    switched = []
    for old, tag in zip(TAGS, TAGS[1:]):
        switched.append(instance.upgrade(command=command(tag)).instant)
        wait_until(lambda: not watches(instance, old, inode), 5, "it is watched still")
        if old == "g1":
            instance.wait_generation(1, lambda g: g and g["connections"] == persistent)
        # the daemon closes and moves during the look: only an entry that stays is stale
        wait_until(lambda: not any(stale_entries(process.pid) for process in instance.tagged(tag)), 5,
                   "an entry that nobody can remove")
        client.wait_answers(20, tag)
        client.renew()
        instance.wait_gone(TAGS.index(old) + 1)
    # the third generation is not deaf: its epoll watches the listener as often as the first one's
    wait_until(lambda: watches(instance, "g3", inode) == watched, 5, "deaf")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.stop()
    assert not re.search("closer|parent g", instance.log()), instance.log()


@pytest.mark.parametrize("name", WAITS)
def test_waits_made_by_system_call(moult, load, port, name):
    upgrade_under_load(moult, load, port, lambda tag: closer(tag, f"wait-{name}", port))


@pytest.mark.parametrize("name", WAITS)
def test_a_client_queued_for_the_next_generation_does_not_wake_the_old_one(moult, load, port, name):
    """The next generation is slow, so a client waits in the queue; the old generation must not
    spin."""
    instance = moult().run(command=closer("g1", f"wait-{name}", port))
    client = load(f"127.0.0.1:{port}", rate=0, persistent=2, persistent_every=10)
    client.wait(lambda report: report["persistent"]["answered"] >= 2)
    instance.upgrade(command=closer("g2", f"wait-{name}", port))
    new = instance.generation(2)["pid"]
    os.kill(new, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello\n")
        before = client.report()["persistent"]["answered"]
        client.wait(lambda report: report["persistent"]["answered"] >= before + 100)
        os.kill(new, signal.SIGCONT)
        assert connection.makefile().readline().startswith("GEN g2 ")
    result = client.stop()
    assert not result.losses, result.explain()
    instance.wait_gone(1)
    instance.stop()
    assert "closer g" not in instance.log()


@pytest.mark.parametrize("name", MOVES)
def test_a_listener_that_moves_to_another_number(moult, load, port, name):
    """The listener moves after each connection, and another file may get the old number."""
    upgrade_under_load(moult, load, port, lambda tag: closer(tag, f"move-{name}", port))


@pytest.mark.parametrize("name", EPOLLS)
def test_an_epoll_instance_that_is_closed_or_moved(moult, load, port, name):
    upgrade_under_load(moult, load, port, lambda tag: closer(tag, f"epoll-{name}", port))


@pytest.mark.parametrize("name", CHILDREN)
def test_a_close_in_a_child_leaves_the_parent_alone(moult, load, port, name):
    """The child shares the epoll instance, and after vfork() the memory; the parent must still get
    its events."""
    upgrade_under_load(moult, load, port,
                       lambda tag: closer(tag, f"child-{name}", port, name="parent"),
                       rate=FORKS)


@pytest.mark.parametrize("name", INETDS)
def test_a_listener_passed_to_another_program(moult, load, port, name):
    """The listener becomes descriptor 0 of the other program, and is close-on-exec in the parent.
    The other program is a member, too."""
    upgrade_under_load(moult, load, port,
                       lambda tag: closer(tag, f"inetd-{name}", port, name="parent"),
                       rate=FORKS)


@pytest.mark.parametrize("name", CLOSES)
def test_a_daemon_that_closes_one_of_two_listeners(plain, moult, load, port, name):
    """Clients of the closed listener are refused, the epoll instance does not report it any more,
    and the other listener goes on."""
    other = network.new_port()
    command = closer("g1", f"close-{name}", port, other)

    def close_it(pid):
        assert ask(other).startswith("GEN g1 ")
        wait_until(lambda: not listens("127.0.0.1", other), 10, "it listens still")
        assert not stale_entries(pid)
        return [inode for _, inode in registrations(pid)]

    server = plain(command).wait_listening(other)
    assert close_it(server.process.pid) == [inode_of(port)]
    assert ask(port).startswith("GEN g1 ")
    server.end()

    instance = moult().run(command=command)
    assert close_it(instance.generation(1)["pid"]) == [inode_of(port)]
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20, "g1")
    instance.upgrade(command=closer("g2", f"close-{name}", port, other))
    client.wait_answers(20, "g2")
    instance.wait_gone(1)
    assert_nothing_lost(client.stop())  # the other threads keep their descriptors open
    assert ask(other).startswith("GEN g2 ")
    instance.stop()
    assert "closer g" not in instance.log()


@pytest.mark.exact
def test_a_program_started_without_the_listener_sees_nothing_of_moult(plain, moult, directory, port):
    """Environment and descriptors of a program that is started without the listener, or with
    another file in its place."""
    path = directory / "seen"
    command = [*closer("g1", "helpers", port, name="parent"), "--output", path]
    server = plain(command).wait_listening(port)
    assert ask(port).startswith("GEN g1 ")
    server.end()
    expected = without_what_differs(path.read_text())
    path.unlink()
    instance = moult().run(command=command)
    assert ask(port).startswith("GEN g1 ")
    assert without_what_differs(path.read_text()) == expected
    assert len(expected) == 10 and all("preloaded: 0" in block for block in expected)
    instance.stop()


def without_what_differs(text):
    """Descriptors and variables, sorted.  Leaves out inodes, and what differs between a launcher's
    program and a plain one."""
    blocks = []
    for block in text.split("== ")[1:]:
        name, *lines = re.sub(r"(\[)\d+(\])|/proc/\d+", r"\1\2", block).splitlines()
        lines = [re.sub(r".* (\d+ -> )", r"\1", line) for line in lines]
        blocks.append([name] + sorted(
            line for line in lines
            if not re.match(r"MOULT_RUNTIME_DIR=|PWD=|OLDPWD=|total |(1|2|10) -> ", line)))
    return blocks
