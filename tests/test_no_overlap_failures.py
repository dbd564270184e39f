# SPDX-License-Identifier: MIT
"""--no-overlap: the next version fails, and the old program is started again."""

import os
import re
import shutil

import pytest

from harness.build import program
from harness.load import assert_nothing_lost
from harness.network import new_port
from harness.no_overlap import begin, connect, ended, only, owners, place


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
    """No client is refused.  The operator reads what failed, and what serves now."""
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
    instance.upgrade()  # the status shows the old command line, not that of the failed version
    assert instance.generation(4)["command"] == only("g1", f"--port={port}")
    instance.upgrade(command=only("g2", f"--port={port}"))
    client.wait_answers(50, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


def test_no_client_is_let_in_before_the_new_version_is_ready(moult, load, port, only):
    """The new version serves but never says that it is ready.  No client gets to it."""
    instance = moult().run("--no-overlap", "--ready-timeout=1s",
                           command=only("g1", f"--port={port}"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(50)
    result = instance.upgrade("--ready=notify", command=only("bad", f"--port={port}"), expect=1)
    assert "not ready within 1 s (no report of its readiness has come)" in result.stderr
    client.wait_answers(50, "g1")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1"]
    instance.stop()


def test_an_unusable_program_is_refused_before_the_old_generation_is_stopped(moult, load, port, only, place):
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


def test_the_old_program_file_is_started_again(moult, load, port, only, directory, place):
    """The operator has replaced the program file by a new version that does not run."""
    path = directory / "daemon"
    shutil.copy(program("waiter"), path)
    command = [str(path), *only("g1", f"--port={port}")[1:]]
    instance = moult().run("--no-overlap", command=command)
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    inode = path.stat().st_ino
    shutil.copy("/usr/bin/false", directory / "new")
    os.replace(directory / "new", path)
    for count in (1, 2):  # and once more, after it has been started by another name
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


def test_a_version_that_closes_its_listener_before_it_ends(moult, port, only, connect):
    """The queue does not end with the listener of the failed version."""
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


def test_a_listener_opened_after_readiness_keeps_its_queue(moult, connect):
    """The daemon opens this listener after it is ready, and closes it first when it stops, which
    takes some time."""
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
    """A program that runs only as long as the file does not exist."""
    return ["/bin/sh", "-c", f'test ! -e {flag} || exit 9; exec "$0" "$@"', *command]


def test_neither_version_can_be_started(moult, port, only, directory):
    """Without --restart the instance ends, as after a crash, and gives both reasons."""
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
def test_neither_version_can_be_started_with_restart(moult, port, only, directory, connect, options):
    """Clients wait until the old program, which is tried again, works."""
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
