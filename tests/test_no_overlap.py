# SPDX-License-Identifier: MIT
"""--no-overlap: a daemon of which there can only be one is upgraded while its clients wait."""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct

import pytest

from catalogue import stores
from harness import processes
from harness.build import program
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches
from harness.network import new_port
from harness.waiting import wait_until

NOBODY = 65534


@pytest.fixture
def place(directory):
    """Where the daemon has its data and its UNIX socket; it may have dropped its uid."""
    path = directory / "at"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    (path / "data").touch()
    (path / "data").chmod(0o666)
    return path


@pytest.fixture
def only(place):
    """only(TAG, ...): the command of a daemon that refuses to run twice."""
    def command(tag, *more, name="waiter", style=("--wait=epoll", "--nonblocking")):
        return [program(name), "--tag", tag, *style, f"--lock={place}/data", *map(str, more)]
    return command


def owners(place):
    """Who has had the data, in turn."""
    return [line.split()[0] for line in (place / "data").read_text().splitlines()]


class Client:
    """One connection that asks when it is told to."""

    def __init__(self, address):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        self.socket = socket.socket(family)
        self.socket.settimeout(15)
        self.socket.connect(address if isinstance(address, tuple) else str(address))

    def ask(self, part=b"hello\n"):
        self.socket.sendall(part)
        return self

    def answer(self):
        """Who answers; "" at the end of the connection."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                return ""
            line += byte
        return line.split()[1].decode()

    def last_answer(self):
        """The same, and the end of the connection."""
        tag = self.answer()
        self.close()
        return tag

    def close(self):
        self.socket.close()


@pytest.fixture
def connect():
    """connect(PORT or PATH): a Client."""
    with contextlib.ExitStack() as stack:
        def make(where):
            client = Client(("127.0.0.1", where) if isinstance(where, int) else where)
            stack.callback(client.close)
            return client
        yield make


def ended(command, expect):
    """What the operator's command said, when it has ended as it should."""
    _, err = command.communicate(timeout=30)
    assert command.returncode == expect, err
    return err


def wait_gap(instance, tag=None):
    """Until nobody serves (and the generation with that tag has been started)."""
    wait_until(lambda: instance.status()["state"] == "starting", 10, instance.log)
    if tag:
        wait_until(lambda: instance.tagged(tag), 10, instance.log)


def begin(instance, command, *options):
    """Starts an upgrade that will not be over at once; returns it when nobody serves any more."""
    upgrade = instance.start_command("upgrade", instance.name, *options, "--", *command)
    wait_gap(instance)
    return upgrade


# ---- upgrades ----

def test_without_it_the_upgrade_fails(moult, load, port, only, place):
    """The daemon of these tests does refuse to run twice, as databases do."""
    instance = moult().run(command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    result = instance.upgrade(command=only("g2", f"--port={port}"), expect=1)
    assert "exited with status 3 before it was ready; generation 1 still serves" in result.stderr
    client.wait_answers(20, "g1")
    assert_nothing_lost(client.stop())
    assert owners(place) == ["g1"]
    instance.stop()


EPOLL = ("waiter", "--wait=epoll", "--nonblocking")


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
def test_clients_wait_for_the_next_one(moult, load, only, place, words, kinds):
    """Three upgrades under load: nobody is lost, and there are never two."""
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


def test_datagrams_wait_too(moult, load, port, only, place):
    """In the buffer of the socket; each is answered once."""
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
    instance.stop("--now")  # who has answered datagrams may send for 5 s more


def test_clients_of_a_unix_socket_see_the_same_user(moult, only, place, connect):
    """The longer queue is not one of another user, whom they may not trust."""
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
    held = connect(path).ask(b"hel")  # keeps the old one there
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
def test_more_wait_than_the_daemon_would_let(moult, only, port, place, connect, kind, options,
                                             more):
    """Its own backlog is 5, and 300 come while nobody is there, or nobody who is ready."""
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


def test_what_is_under_way_is_finished(moult, only, port, connect):
    """A request of which half has come is answered by the one that has begun it."""
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
def test_idle_connections_do_not_hold_up_all_others(moult, only, port, connect, options, said):
    """They end when the time is over, which is short unless the operator wants another."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    client = connect(port).ask()
    assert client.answer() == "g1"
    result = instance.upgrade(*options, command=only("g2", f"--port={port}"))
    assert re.search(said, result.stderr), result.stderr
    assert client.answer() == ""
    assert connect(port).ask().last_answer() == "g2"
    instance.stop()


def test_the_stop_signal_and_then_sigkill(moult, only, port, place):
    """A daemon that does not end is made to, and only then is the next one started."""
    instance = moult().run("--no-overlap", "--stop-signal=INT", "--kill-after=300ms",
                           command=only("g1", f"--port={port}", f"--ignore-signal={signal.SIGINT}"))
    result = instance.upgrade(command=only("g2", f"--port={port}"))
    assert "stopping by SIGINT, it has 300 ms before SIGKILL" in result.stderr
    assert "still there after the stop signal, killing" in result.stderr
    assert owners(place) == ["g1", "g2"]
    instance.stop()


def test_all_earlier_generations_end_first(moult, port, only, connect, place):
    """Also one that drains since an upgrade that did let two run beside each other."""
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


def test_a_command_may_ask_the_next_one(moult, load, port, only):
    """--ready=exec: nobody else would answer it, so clients are let in as soon as it serves."""
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


# ---- versions that fail ----

@pytest.mark.parametrize("options, reason", [
    (("--fail=exit1",), "exited with status 1"),
    (("--fail=exit0", "--fail-at=listening"), "exited with status 0"),
    (("--fail=segv", "--fail-at=listening"), "SIGSEGV"),
    (("--fail=hang",), "not ready within 700 ms"),
    (("--fail=leave-helper", "--fail-at=listening"), "exited with status 1"),
    (("--habit=daemon", "--fail=exit1", "--fail-at=listening"), "exited|ended"),
    (("--fail=die-soon", "--fail-at=waiting"), "exited with status 1 .* after it was ready"),
], ids=lambda value: "-".join(o.lstrip("-").partition("=")[2] for o in value)
    if isinstance(value, tuple) else "")
def test_the_old_program_is_started_again(moult, load, port, only, place, options, reason):
    """Nobody is refused, and the operator reads both: what failed, and what serves now."""
    instance = moult().run("--no-overlap", "--ready-timeout=700ms",
                           command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(50)
    result = instance.upgrade(command=only("bad", f"--port={port}", *options), expect=1)
    first = result.stderr.index("generation 2: ")
    assert re.search(rf"generation 2: .*({reason}).*; the program of generation 1 is started again",
                     result.stderr), result.stderr
    assert result.stderr.index("generation 3: started the program of generation 1 again") > first
    assert re.search(r"generation 3: took over tcp:.*, ready after", result.stderr)
    client.wait_answers(50, "g1")
    assert not instance.tagged("bad")
    status = instance.status()
    assert status["state"] == "serving"
    assert [g["id"] for g in status["generations"]] == [3]
    last = status["upgrades"]["last"]
    assert last["result"] == "failed" and last["generation"] == 2
    assert re.search(reason, last["reason"]), last
    assert (status["upgrades"]["completed"], status["upgrades"]["failed"]) == (0, 1)
    instance.upgrade()  # the old command line is what is known, not that of the failed one
    assert instance.generation(4)["command"] == only("g1", f"--port={port}")
    instance.upgrade(command=only("g2", f"--port={port}"))
    client.wait_answers(50, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


def test_nobody_is_let_in_before_it_is_ready(moult, load, port, only):
    """The new version serves and never says that it is ready: it has cost nobody anything."""
    instance = moult().run("--no-overlap", "--ready-timeout=1s",
                           command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(50)
    result = instance.upgrade("--ready=notify", command=only("bad", f"--port={port}"), expect=1)
    assert "not ready within 1 s (it did not say so)" in result.stderr
    client.wait_answers(50, "g1")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1"]
    instance.stop()


def test_what_can_be_refused_is_refused_before(moult, load, port, only, place):
    """The old one is not touched for a program that is not there."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    (before,) = instance.tagged("g1")
    instance.upgrade(command=["/nowhere/daemon"], expect=127)
    instance.upgrade(command=[program("waiter-static"), "--port", str(port)], expect=1)
    (after,) = instance.tagged("g1")
    assert before.pid == after.pid
    client.wait_answers(20, "g1")
    assert_nothing_lost(client.stop())
    assert owners(place) == ["g1"]
    instance.stop()


def test_the_old_file_is_started_again(moult, load, port, only, directory, place):
    """The operator has put the new version in its place, and that does not run."""
    path = directory / "daemon"
    shutil.copy(program("waiter"), path)
    command = [str(path), *only("g1", f"--port={port}")[1:]]
    instance = moult().run("--no-overlap", command=command)
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    inode = path.stat().st_ino
    shutil.copy("/usr/bin/false", directory / "new")
    os.replace(directory / "new", path)
    for count in (1, 2):  # and once more, when it has been started by another name already
        instance.upgrade(expect=1)
        client.wait_answers(20, "g1")
        (process,) = instance.tagged("g1")
        assert os.stat(f"/proc/{process.pid}/exe").st_ino == inode
        assert process.command == command
        assert owners(place) == ["g1"] * (count + 1)
    shutil.copy(program("waiter"), directory / "new")
    os.replace(directory / "new", path)
    instance.upgrade()
    (process,) = instance.tagged("g1")
    assert os.stat(f"/proc/{process.pid}/exe").st_ino == path.stat().st_ino
    assert_nothing_lost(client.stop())
    instance.stop()


def test_a_version_that_closes_and_lingers(moult, port, only, connect):
    """It closes the listener, and ends only later: the queue is not its own to end."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    code = (f"import socket, time; s = socket.socket(); s.bind((\"127.0.0.1\", {port}));"
            "s.listen(); s.close(); time.sleep(1.6); exit(1)")
    upgrade = begin(instance, ["/usr/bin/python3", "-c", code])
    waiting = connect(port).ask()
    ended(upgrade, 1)
    assert waiting.last_answer() == "g1"
    instance.stop()


TAKES_ITS_TIME = """
import select, signal, socket, sys, time
tag, now, ports = sys.argv[1], sys.argv[2] == "both", sys.argv[3:]

def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(ports.pop(0))))
    listener.listen()
    listeners.append(listener)

def end(*_):
    for listener in listeners:
        listener.close()
    time.sleep(2.2)
    sys.exit()

listeners = []
listen()
if now:
    listen()
signal.signal(signal.SIGTERM, end)
while True:
    for listener in select.select(listeners, [], [])[0]:
        with listener.accept()[0] as connection:
            if ports:
                listen()
            connection.sendall(f"GEN {tag}\\n".encode())
"""


def test_a_service_that_began_late_waits_too(moult, connect):
    """It was opened after the daemon was ready, is closed first, and the daemon takes its time."""
    ports = new_port(), new_port()

    def command(tag, when):
        return ["/usr/bin/python3", "-c", TAKES_ITS_TIME, tag, when, *map(str, ports)]

    instance = moult().run("--no-overlap", command=command("g1", "one"))
    assert [connect(port).answer() for port in ports] == ["g1", "g1"]
    upgrade = begin(instance, command("g2", "both"))
    waiting = [connect(port) for port in ports]
    ended(upgrade, 0)
    assert [client.answer() for client in waiting] == ["g2", "g2"]
    instance.stop()


def unwilling(flag, command):
    """Runs as long as there is no such file."""
    return ["/bin/sh", "-c", f'test ! -e {flag} || exit 9; exec "$0" "$@"', *command]


def test_neither_can_be_started(moult, port, only, directory):
    """Without a restart the instance ends, as after a crash, and says all of it."""
    flag = directory / "flag"
    instance = moult().run("--no-overlap",
                           command=unwilling(flag, only("g1", f"--port={port}")))
    flag.touch()
    result = instance.upgrade(command=only("bad", f"--port={port}", "--fail=exit1"), expect=1)
    assert "generation 2: exited with status 1 before it was ready" in result.stderr
    assert "generation 3: exited with status 9 before it was ready" in result.stderr
    assert instance.wait_ended() == 1


@pytest.mark.parametrize("options", [("--fail=exit1",), ("--fail=die-soon", "--fail-at=waiting")],
                         ids=["before-ready", "after-ready"])
def test_neither_can_be_started_now(moult, port, only, directory, connect, options):
    """With a restart clients wait until it works; what is tried is the old one."""
    flag = directory / "flag"
    instance = moult().run("--no-overlap", "--restart=on-failure",
                           command=unwilling(flag, only("g1", f"--port={port}")))
    flag.touch()
    result = instance.upgrade(command=only("bad", f"--port={port}", *options), expect=1)
    assert "generation 3: exited with status 9" in result.stderr
    reason = instance.status()["upgrades"]["last"]["reason"]
    assert "status 1" in reason and "status 9" in reason
    waiting = connect(port).ask()
    flag.unlink()
    assert waiting.last_answer() == "g1"
    instance.stop()


# ---- what happens meanwhile ----

def test_a_second_upgrade_is_refused_in_each_phase(moult, port, only, connect):
    """While the old one ends, and while the next one starts."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    client = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}", "--start-delay=1000"))
    result = instance.upgrade(expect=75)
    assert "another upgrade is running (generation 2)" in result.stderr
    instance.signal(signal.SIGHUP)
    instance.wait_log(r"another upgrade is running \(generation 2\)")
    client.close()
    wait_gap(instance, "g2")
    assert "(generation 2)" in instance.upgrade(expect=75).stderr
    ended(upgrade, 0)
    assert instance.status()["upgrades"]["completed"] == 1
    instance.stop()


def test_the_old_one_dies_by_itself(moult, port, only, connect):
    """It was to end in any case: the next one starts."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}"))
    processes.kill([process.pid for process in instance.tagged("g1")])
    assert "generation 1: was killed by SIGKILL" in ended(upgrade, 0)
    assert connect(port).ask().last_answer() == "g2"
    instance.stop()


def test_the_next_one_is_killed(moult, port, only, connect):
    """kill -9 from outside: as any failure of it."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    upgrade = begin(instance, only("bad", f"--port={port}", "--fail=hang"))
    wait_gap(instance, "bad")
    waiting = connect(port).ask()
    processes.kill([process.pid for process in instance.tagged("bad")])
    assert "generation 2: was killed by SIGKILL" in ended(upgrade, 1)
    assert waiting.last_answer() == "g1"
    instance.stop()


@pytest.mark.parametrize("how", ["stop", "TERM"])
def test_a_stop_while_the_old_one_drains(moult, port, only, connect, how):
    """It serves again those who wait, finishes all, and the instance ends."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s",
                           command=only("g1", f"--port={port}"))
    held = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}"))
    waiting = connect(port).ask()
    if how == "stop":
        stop = instance.start_command("stop", instance.name)
    else:
        instance.signal(signal.SIGTERM)
    assert waiting.last_answer() == "g1"
    ended(upgrade, 1)
    assert held.ask(b"lo\n").last_answer() == "g1"
    assert instance.wait_ended() == 0
    if how == "stop":
        ended(stop, 0)


@pytest.mark.parametrize("options, more", [((), ("--start-delay=700",)),
                                           (("--ready=notify",), ())],
                         ids=["before-it-listens", "before-it-is-ready"])
def test_a_stop_while_the_next_one_starts(moult, port, only, connect, options, more):
    """It is let serve those who wait, ready or not."""
    instance = moult().run("--no-overlap", command=only("g1", f"--port={port}"))
    upgrade = begin(instance, only("g2", f"--port={port}", *more), *options)
    wait_gap(instance, "g2")
    if options:
        wait_until(lambda: instance.status()["listeners"][0]["adopted"], 10, instance.log)
    waiting = connect(port).ask()
    instance.signal(signal.SIGTERM)
    ended(upgrade, 1)
    assert waiting.last_answer() == "g2"
    assert instance.wait_ended() == 0


@pytest.mark.parametrize("phase", ["draining", "stopping", "starting"])
def test_stop_now_in_the_gap(moult, port, only, connect, phase):
    """All ends, and no process is left."""
    instance = moult().run("--no-overlap", "--drain-timeout=20s", "--kill-after=20s",
                           command=only("g1", f"--port={port}", "--stop-delay=1000"))
    client = connect(port).ask(b"hel")
    upgrade = begin(instance, only("g2", f"--port={port}", "--fail=hang"))
    if phase != "draining":
        client.close()
        instance.wait_log("generation 1: stopping by SIGTERM")
    if phase == "starting":
        wait_gap(instance, "g2")
    instance.stop("--now")
    ended(upgrade, 1)
    assert not instance.tagged("g1") and not instance.tagged("g2")


def test_after_a_crash_the_next_one_just_starts(moult, port, only, connect):
    """There is nothing that would have to end, and clients wait already."""
    instance = moult().run("--no-overlap", "--restart=always",
                           command=only("g1", f"--port={port}"))
    processes.kill([process.pid for process in instance.tagged("g1")])
    waiting = connect(port).ask()
    assert waiting.last_answer() == "g1"
    instance.wait_serving()
    instance.upgrade(command=only("g2", f"--port={port}"))
    assert connect(port).ask().last_answer() == "g2"
    instance.stop()


def test_what_a_crash_has_left_ends_first(moult, load, port, place):
    """The master is killed and its workers serve on: they too are of the old one."""
    command = [program("acceptor"), "--tag", "g1", "--model=prefork", f"--port={port}"]
    instance = moult().run("--no-overlap", "--restart=on-failure", command=command)
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(50)
    before = {process.pid for process in instance.tagged("g1")}
    processes.kill([instance.generation(1)["pid"]])
    instance.wait_log("generation 2: took over")
    assert not before & {process.pid for process in instance.tagged("g1")}
    log = instance.log()
    assert log.index("generation 1: drained") < log.index("generation 2: started")
    client.wait_answers(50)
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.parametrize("hosts", [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")],
                         ids="-".join)
def test_an_address_that_changes(moult, port, only, connect, hosts):
    """It listens when its turn has come, and the earlier socket is no longer."""
    instance = moult().run("--no-overlap",
                           command=only("g1", f"--port={port}", f"--host={hosts[0]}"))
    upgrade = begin(instance, only("bad", f"--port={port}", f"--host={hosts[1]}"),
                    "--ready=notify", "--ready-timeout=600ms")
    wait_until(lambda: len(instance.status()["listeners"]) == 2, 10, instance.status)
    waiting = connect(port).ask()  # at the earlier one, as the other is not ready
    ended(upgrade, 1)
    assert waiting.last_answer() == "g1"
    instance.upgrade(command=only("g2", f"--port={port}", f"--host={hosts[1]}"))
    assert connect(port).ask().last_answer() == "g2"
    (listener,) = instance.status()["listeners"]
    assert listener["address"] == f"tcp:{hosts[1]}:{port}"
    instance.stop()


# ---- databases ----

DATABASES = [daemon for daemon in stores.DAEMONS if "--no-overlap" in daemon.run]


@pytest.mark.daemons
@pytest.mark.parametrize("local", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("daemon", DATABASES, ids=lambda daemon: daemon.name)
def test_databases_from_debian(moult, load, port, directory, daemon, local):
    """Unmodified, five upgrades under load: each client is answered, some after a while."""
    setting = Setting(directory, port)
    daemon.prepare(setting)
    instance = moult().run(*daemon.run, command=daemon.command(setting, "g1"))
    address = f"unix:{daemon.sockets(setting)[0]}" if local else daemon.address(setting)
    client = load(address, rate=daemon.rate, **daemon.load(setting))
    client.wait_answers(30)
    switched, tags = [], ["g1", "g2", "g3", "g4", "g5", "g6"]
    for tag in tags[1:]:
        switched.append(instance.upgrade(command=daemon.command(setting, tag)).instant)
        client.wait_answers(30, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, tags, switched)
    print(f"{daemon.name}: the longest wait was {result['latency_ms']['max']} ms")
    instance.upgrade(command=daemon.failing(daemon, setting), expect=1)
    client = load(address, rate=daemon.rate, **daemon.load(setting))
    client.wait_answers(30, "g6")
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.daemons
def test_a_store_keeps_its_state(moult, load, port, directory):
    """redis writes its data when it ends, and reads it when it starts: two of it would disagree."""
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir",
               str(directory), "--save", "3600 1", "--daemonize", "no"]
    instance = moult().run("--no-overlap", "--kill-after=1m", command=command)

    def say(words, until):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(words)
            answer = b""
            while not answer.endswith(until):
                data = client.recv(4096)
                assert data, answer
                answer += data
            return answer
    say(b"SET skin old.\r\n", b"OK\r\n")
    client = load(f"127.0.0.1:{port}", rate=200, send=r"GET skin\r\n", until=r".\r\n",
                  tag_after=r"\n", tag_before=".", sources=0)
    client.wait_answers(30, "old")
    for value in ("newer", "newest"):
        say(f"SET skin {value}.\r\n".encode(), b"OK\r\n")
        instance.upgrade()
        client.wait_answers(30, value)
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["old", "newer", "newest"]
    instance.stop()
