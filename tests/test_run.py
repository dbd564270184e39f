# SPDX-License-Identifier: MIT
"""`moult run`: what the operator passes in, and what the operator sees."""

import os
import re
import socket

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.waiter import waiter
from harness.waiting import wait_until


def test_the_pid_file_names_the_launcher(moult, port, directory):
    """The pid never changes, and the file is removed when the launcher ends."""
    path = directory / "daemon.pid"
    instance = moult().run(f"--pid-file={path}", command=waiter("g1", port))
    assert path.read_text() == f"{instance.process.pid}\n"
    instance.upgrade(command=waiter("g2", port))
    assert path.read_text() == f"{instance.process.pid}\n"
    instance.stop()
    assert not path.exists()


def test_background_returns_when_it_serves(moult, port, directory):
    instance = moult()
    path = directory / "daemon.pid"
    result = instance.command("run", "-b", "-n", instance.name, "-p", path, "--",
                              *waiter("g1", port, "--start-delay=150"))
    assert result.returncode == 0, result.stderr
    assert ask(port).startswith("GEN g1 ")
    launcher = int(path.read_text())
    assert instance.status()["pid"] == launcher
    instance.upgrade(command=waiter("g2", port))
    assert instance.command("stop", instance.name).returncode == 0
    wait_until(lambda: not processes.alive(launcher), 10, "the launcher does not end")
    assert not path.exists()


@pytest.mark.parametrize("command, status", [
    (lambda port: waiter("g1", port, "--fail=exit1"), 1),
    (lambda port: waiter("g1", port, "--fail=exit0"), 1),
    (lambda port: waiter("g1", port, "--fail=segv"), 1),
    (lambda port: waiter("g1", port, "--fail=daemonise-then-fail"), 1),
    (lambda port: ["/nowhere/daemon"], 127),
    (lambda port: ["no-such-daemon-in-the-path"], 127),
    (lambda port: ["/etc/passwd"], 126),
    (lambda port: ["/"], 126),
], ids=["exits-1", "exits-0", "crashes", "daemonises-and-fails", "missing", "not-in-path",
        "not-executable", "a-directory"])
@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_a_first_start_that_fails(moult, port, command, status, background):
    """A few lines say so, the status is that of a shell, and nothing is left."""
    instance = moult()
    options = ["-b"] if background else []
    result = instance.command("run", *options, "-n", instance.name, "--", *command(port))
    assert result.returncode == status, result.stderr
    assert result.stdout == "" and result.stderr.strip()
    wait_until(lambda: not processes.descendants(), 5, "the launcher in the background stays")
    assert list(instance.runtime.glob("*.sock")) == []


def test_a_second_launcher_of_the_same_name_is_refused(moult, load, port):
    """The first one is not disturbed."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    result = instance.command("run", "-n", instance.name, "--", *waiter("g9", port + 1))
    assert result.returncode == 1
    assert instance.name in result.stderr
    assert not instance.tagged("g9")
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    instance.upgrade()
    instance.stop()


def test_the_control_socket_of_a_dead_launcher_is_replaced(moult, port):
    """SIGKILL leaves the file of the socket behind."""
    instance = moult()
    path = instance.runtime / f"{instance.name}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(path))
    assert instance.command("status", instance.name).returncode == 3
    instance.run(command=waiter("g1", port))
    instance.stop()
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_runtime_directory_that_others_may_write_to_is_refused(moult, port, mode):
    """A user who can replace the socket could talk to the operator in place of the launcher."""
    instance = moult()
    instance.runtime.chmod(mode)
    result = instance.command("run", "-n", "x", "--", *waiter("g1", port))
    assert result.returncode in (1, 2)
    assert str(instance.runtime) in result.stderr
    assert not processes.descendants()
    instance.runtime.chmod(0o700)


def test_the_log_has_a_line_per_event(moult, port):
    instance = moult().run(command=waiter("g1", port))
    instance.upgrade(command=waiter("g2", port))
    instance.wait_gone(1)
    instance.stop()
    lines = instance.log().splitlines()
    for pattern in (r"generation 1: started, pid \d+", r"generation 1: .*ready after",
                    r"generation 2: .*took over tcp:127\.0\.0\.1:\d+", r"generation 1: drain"):
        assert [line for line in lines if re.search(pattern, line)], (pattern, lines)


def test_quiet_says_errors_only(moult, port):
    instance = moult().run("-q", command=waiter("g1", port))
    instance.upgrade(command=waiter("g2", port))
    instance.wait_gone(1)
    instance.stop()
    assert instance.log() == ""


def test_each_generation_has_the_streams_and_directory_of_the_launcher(moult, port, directory):
    """As the first generation had, even if it is started much later."""
    script = "pwd; umask; exec " + " ".join(waiter("g1", port))
    instance = moult().run(command=["sh", "-c", script], cwd=directory, umask=0o027)
    instance.upgrade()
    assert instance.log().count(f"{directory}\n0027\n") == 2
    instance.stop()


def test_a_program_is_searched_again_at_each_upgrade(moult, port, directory):
    """A symbolic link that points to another version is followed anew."""
    for version in ("v1", "v2"):
        (directory / version).mkdir()
        script = directory / version / "daemon"
        script.write_text(f"#!/bin/sh\nexec {' '.join(waiter(version, port))}\n")
        script.chmod(0o755)
    current = directory / "current"
    current.symlink_to("v1")
    instance = moult().run(command=[current / "daemon"])
    assert ask(port).startswith("GEN v1 ")
    (directory / "new").symlink_to("v2")
    (directory / "new").rename(current)
    instance.upgrade()
    assert ask(port).startswith("GEN v2 ")
    instance.stop()


@pytest.mark.exact
@pytest.mark.exact
def test_the_daemon_sees_nothing_of_moult(moult, plain, port, directory):
    """Environment, descriptors below 64, signals, threads, and what its children see."""
    path = directory / "mirror.out"
    child = directory / "mirror.out.child"
    command = [program("mirror"), "--tag", "g1", "--port", port, "--output", path]
    expected = plain(command)
    assert ask_when_listening(port).startswith("GEN g1 ")
    expected.end()
    texts = [path.read_text(), child.read_text()]
    path.unlink()
    child.unlink()

    instance = moult().run(command=command, cwd=os.getcwd())
    assert ask_when_listening(port).startswith("GEN g1 ")
    found = [path.read_text(), child.read_text()]
    for old, new in zip(texts, found):
        assert comparable(new) == comparable(old)
    for word in ("LD_PRELOAD", "libmoult", "MOULT=", "eventfd", "memfd"):
        assert word not in found[1], found[1]
    instance.stop()


def ask_when_listening(port):
    wait_until(lambda: listens("127.0.0.1", port), 10, "nobody listens")
    return ask(port)


def comparable(text):
    """The record without what the test itself makes different: streams, session, runtime
    directory."""
    text = re.sub(r"(?m)^(environment )?MOULT_RUNTIME_DIR=.*\n", "", text)
    text = re.sub(r"(?m)^name .*\n", "", text)
    text = re.sub(r"(?m)^[012] -> .*\n", "", text)
    text = re.sub(r"(?m)^descriptor ([012]|[0-9]{3,}):.*\n", "", text)
    return re.sub(r":\[\d+\]|/proc/\d+|#\d+", "", text).splitlines()
