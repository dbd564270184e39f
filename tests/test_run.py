# SPDX-License-Identifier: MIT
"""What the operator gives to `moult run` and sees of it."""

import contextlib
import datetime
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import build, network, processes
from harness.build import program
from harness.load import assert_lost_only_with, assert_nothing_lost, assert_switches
from harness.network import ask, listens
from harness.waiting import wait_until


def waiter(tag, port, *more):
    return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking", "--port", str(port),
            *more]


# ---- readiness ----

@pytest.mark.parametrize("ready, options", [
    ("notify", ("--notify", "--ready-after=600")),
    ("fd=7", ("--ready-fd=7", "--ready-after=600")),
], ids=["notify", "fd"])
def test_readiness_that_is_told(moult, load, port, ready, options):
    """Until the daemon says so nothing is switched, though it waits for connections."""
    instance = moult().run(f"--ready={ready}", command=waiter("g1", port, *options))
    assert instance.generation(1)["ready_ms"] >= 600
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(20)
    began = client.report()["now_ns"]
    switched = instance.upgrade(command=waiter("g2", port, *options)).instant
    assert instance.generation(2)["ready_ms"] >= 600
    client.wait_answers(20, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    assert result.tags["g2"]["first_answered_ns"] - began >= 600e6
    instance.stop()


def test_readiness_by_a_command(moult, load, port, directory):
    flag = directory / "ready"
    instance = moult().run_ready_by(flag, port, waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=600)
    command = instance.start_command("upgrade", instance.name, "--", *waiter("g2", port))
    instance.wait_generation(2, lambda new: new and new["state"] == "next" and
                             new["processes"] > 0)
    client.wait_answers(200, "g1")
    assert command.poll() is None and "g2" not in client.report().tags
    flag.touch()
    _, err = command.communicate(timeout=20)
    assert command.returncode == 0, err
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.parametrize("ready", ["serving", "notify", "fd=5", "exec=false", "exec=exit 3"])
def test_readiness_that_never_comes(moult, load, port, ready):
    """After --ready-timeout the upgrade has failed, and says what was waited for."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    more = ("--fail=hang", "--fail-at=listening") if ready == "serving" else ()
    result = instance.upgrade(f"--ready={ready}", "--ready-timeout=500ms",
                              command=waiter("bad", port, *more), expect=1)
    assert re.search(r"generation 2: .*ready.*500 ms", result.stderr), result.stderr
    assert not instance.tagged("bad")
    client.wait_answers(20, "g1")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1"]
    instance.stop()


def test_the_first_one_that_is_never_ready(moult, port):
    """There is nothing to go back to: it is said, it goes on, and can be stopped."""
    instance = moult().run("--ready-timeout=300ms", wait=False,
                           command=waiter("g1", port, "--fail=hang"))
    instance.wait_log(r"generation 1: not ready after 300 ms")
    assert instance.tagged("g1")
    instance.stop("--now")
    assert not processes.descendants()


def test_notify_socket_is_not_set_unasked(moult, port, directory):
    """Its presence alone makes some daemons behave otherwise."""
    path = directory / "mirror.out"
    instance = moult().run(command=[program("mirror"), "--tag", "g1", "--port", port, "--output",
                                    path])
    assert "NOTIFY_SOCKET" not in path.read_text()
    instance.stop()


def test_only_the_daemon_can_say_that_it_is_ready(moult, port, directory):
    """A datagram from a process outside the generation is not believed."""
    path = directory / "environment"
    script = f"env > {path}; exec {' '.join(waiter('g1', port))}"
    instance = moult().run("--ready=notify", "--ready-timeout=2s", command=["sh", "-c", script],
                           wait=False)
    address = wait_until(lambda: path.exists() and re.search(
        r"^NOTIFY_SOCKET=@(.+)$", path.read_text(), re.M), 10, instance.log)[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"READY=1\n", f"\0{address}")
    instance.wait_log("generation 1: not ready after 2 s")
    instance.stop("--now")


# ---- restart ----

@pytest.mark.parametrize("policy, number", [("always", signal.SIGKILL), ("always", signal.SIGQUIT),
                                            ("on-failure", signal.SIGSEGV)])
def test_restart_keeps_the_queue_open(moult, load, port, policy, number):
    instance = moult().run(f"--restart={policy}", command=waiter(
        "g1", port, f"--exit-signal={int(signal.SIGQUIT)}"))
    client = load(f"127.0.0.1:{port}", rate=600)
    deaths = []
    for _ in range(3):
        client.wait_answers(50)
        old = instance.tagged("g1")[0]
        deaths.append(processes.kill([old.pid], number))
        wait_until(lambda o=old: [p for p in instance.tagged("g1") if p.pid != o.pid], 15,
                   instance.log)
    client.wait_answers(50)
    assert_lost_only_with(client.stop(), deaths)
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop()


def test_a_daemon_that_dies_again_and_again_is_started_ever_later(moult, port):
    """Being ready for a moment is no success: the pause doubles, and the queue stays open."""
    instance = moult().run("--restart=always", command=waiter("g1", port))
    killed = set()
    for pause in (100, 200, 400):
        old = wait_until(lambda: [p for p in instance.tagged("g1") if p.pid not in killed], 15,
                         instance.log)[0]
        wait_until(lambda: ask(port).startswith(f"GEN g1 {old.pid}"), 15, instance.log)
        killed.add(old.pid)
        os.kill(old.pid, signal.SIGKILL)
        wait_until(lambda p=pause: f"starting again in {p} ms" in instance.log(), 15, instance.log)
        assert listens("127.0.0.1", port)
    instance.stop()


@pytest.mark.parametrize("policy, number, status", [
    ("no", signal.SIGQUIT, 0), ("no", signal.SIGKILL, 1), ("on-failure", signal.SIGQUIT, 0)])
def test_a_daemon_that_ends_and_is_not_restarted(moult, port, policy, number, status):
    """The launcher ends too, with a status that says whether that was a failure."""
    instance = moult().run(f"--restart={policy}", command=waiter(
        "g1", port, f"--exit-signal={int(signal.SIGQUIT)}"))
    os.kill(instance.tagged("g1")[0].pid, number)
    assert (instance.wait_ended() == 0) == (status == 0)
    assert re.search(r"generation 1: .*(exited with status 0|killed by SIGKILL)", instance.log())
    assert not listens("127.0.0.1", port)
    assert not processes.descendants()


def test_a_daemon_that_always_fails_is_started_less_and_less(moult, port, directory):
    """Back-off: not a loop that eats the machine, and `stop` ends it at once."""
    count = directory / "starts"
    count.touch()
    good = directory / "good"
    good.touch()
    script = (f"echo >> {count}; if [ -e {good} ]; then exec {' '.join(waiter('g1', port))}; fi; "
              "exit 1")
    instance = moult().run("--restart=always", command=["sh", "-c", script])
    good.unlink()
    os.kill(instance.tagged("g1")[0].pid, signal.SIGKILL)
    wait_until(lambda: count.read_text().count("\n") >= 3, 15, instance.log)
    assert count.read_text().count("\n") < 20
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        good.touch()  # whoever comes while nobody accepts is answered when there is somebody
        connection.sendall(b"hello\n")
        assert connection.recv(100).startswith(b"GEN g1 ")
    instance.stop()


# ---- pid file, background, list, status, log ----

def test_pid_file(moult, port, directory):
    """It names the launcher, whose pid never changes, and goes with it."""
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
    """Said in one line or a few, with a status as the shell's, and nothing is left."""
    instance = moult()
    options = ["-b"] if background else []
    result = instance.command("run", *options, "-n", instance.name, "--", *command(port))
    assert result.returncode == status, result.stderr
    assert result.stdout == "" and result.stderr.strip()
    wait_until(lambda: not processes.descendants(), 5, "the launcher in the background stays")
    assert list(instance.runtime.glob("*.sock")) == []


def test_list_and_the_only_instance(moult, port):
    """Without a name a command means the only one; with two it asks which."""
    first, second = moult("first"), moult("second")
    other = network.new_port()
    assert rows_of(first.command("list")) == []
    first.run(command=waiter("g1", port))
    assert first.command("status").returncode == 0
    assert first.command("upgrade").returncode == 0
    second.run(command=waiter("g1", other))
    rows = rows_of(first.command("list"))
    assert [row[0] for row in rows] == ["first", "second"]
    assert str(first.process.pid) in rows[0] and str(second.process.pid) in rows[1]
    ambiguous = first.command("status")
    assert ambiguous.returncode == 2
    assert "first" in ambiguous.stderr and "second" in ambiguous.stderr
    second.stop()
    first.stop()
    assert rows_of(first.command("list")) == []


def rows_of(result):
    """The words of each line under the heading."""
    assert result.returncode == 0 and result.stderr == ""
    return [line.split() for line in result.stdout.splitlines()[1:]]


def keys(value):
    """The shape of a JSON value: keys of objects in order, of the first element of lists."""
    if isinstance(value, dict):
        return {name: keys(part) for name, part in value.items()}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


GENERATION = {"id": "int", "pid": "int", "state": "str", "processes": "int",
              "connections": "int", "accepted": "int", "datagrams": "int", "started": "str", "ready_ms": "int",
              "count_age_ms": "int", "command": ["str"]}
LISTENER = {"address": "str", "backlog": "int", "queued": "int", "adopted": "bool",
            "generation": "int", "retires_in_ms": "NoneType"}
STATUS = {"name": "str", "pid": "int", "state": "str", "since": "str",
          "generations": [GENERATION], "listeners": [LISTENER],
          "upgrades": {"completed": "int", "failed": "int",
                       "last": {"result": "str", "reason": "str", "generation": "int",
                                "ms": "int"}}}


def test_status_is_a_contract(moult, load, port):
    """Other tools build on it: these keys, in this order, and these values."""
    instance = moult().run(command=waiter("g1", port, "--backlog=77"))
    before = instance.status()
    shape = keys(before)
    expected = dict(STATUS)
    assert list(shape) == list(expected)
    assert list(shape["upgrades"])[:2] == ["completed", "failed"]
    assert shape["generations"] == [GENERATION] and shape["listeners"] == [LISTENER]
    assert before["upgrades"]["completed"] == before["upgrades"]["failed"] == 0
    assert before["listeners"] == [{"address": f"tcp:127.0.0.1:{port}", "backlog": 77,
                                    "queued": 0, "adopted": False, "generation": 1,
                                    "retires_in_ms": None}]
    client = load(f"127.0.0.1:{port}", rate=300, persistent=5)
    client.wait_answers(50)
    instance.upgrade(command=waiter("g2", port, "--backlog=99"))
    status = instance.status()
    assert keys(status) == STATUS
    assert (status["name"], status["pid"]) == (instance.name, instance.process.pid)
    assert status["state"] == "serving"
    instance.wait_generation(1, lambda old: old and old["connections"] == 5)
    states = {g["id"]: g for g in instance.status()["generations"]}
    assert (states[1]["state"], states[2]["state"]) == ("draining", "current")
    assert states[1]["accepted"] >= 50 and states[1]["processes"] == 1
    assert states[2]["command"] == waiter("g2", port, "--backlog=99")
    assert states[2]["pid"] in [p.pid for p in instance.tagged("g2")]
    assert status["listeners"][0]["adopted"] is True
    assert status["listeners"][0]["backlog"] == 99
    assert status["upgrades"]["last"]["result"] == "completed"
    assert status["upgrades"]["last"]["generation"] == 2
    for instant in (status["since"], states[1]["started"], states[2]["started"]):
        assert datetime.datetime.fromisoformat(instant.replace("Z", "+00:00"))
    client.close_persistent()
    instance.wait_gone(1)
    assert_nothing_lost(client.stop())
    text = instance.command("status", instance.name)
    assert text.returncode == 0 and text.stderr == ""
    for word in (instance.name, f"127.0.0.1:{port}", "serving", "current"):
        assert word in text.stdout
    instance.stop()


@pytest.mark.parametrize("options, addresses", [
    (("--family=6",), ["tcp:[::1]:{}"]),
    (("--family=dual",), ["tcp:[::]:{}"]),
    (("--family=both",), ["tcp:127.0.0.1:{}", "tcp:[::1]:{}"]),
], ids=["ipv6", "dual-stack", "both"])
def test_addresses_as_they_are_written(moult, port, options, addresses):
    instance = moult().run(command=waiter("g1", port, *options))
    assert [row["address"] for row in instance.status()["listeners"]] == [
        address.format(port) for address in addresses]
    instance.upgrade()
    rows = instance.status()["listeners"]
    assert all(row["adopted"] for row in rows) and len(rows) == len(addresses)
    instance.stop()


def test_a_backlog_is_not_lowered_while_two_share_it(moult, load, port):
    """listen() with a smaller number in the next generation takes effect when it is alone."""
    instance = moult().run(command=waiter("g1", port, "--backlog=200"))
    client = load(f"127.0.0.1:{port}", rate=0, persistent=2)
    client.wait(lambda report: report["persistent"]["answered"] >= 2)
    instance.upgrade(command=waiter("g2", port, "--backlog=20", "--habit=listen-twice"))
    assert ask(port).startswith("GEN g2 ")
    client.close_persistent()
    instance.wait_gone(1)
    assert not client.stop().losses
    instance.stop()


def test_a_listener_more_and_a_listener_less(moult, load, port):
    """What the next configuration adds is there after the switch; what it drops ends cleanly."""
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


def test_standard_streams_and_directory_are_the_launchers(moult, port, directory):
    """Each generation has them as the first had, though it comes much later."""
    script = "pwd; umask; exec " + " ".join(waiter("g1", port))
    instance = moult().run(command=["sh", "-c", script], cwd=directory, umask=0o027)
    instance.upgrade()
    assert instance.log().count(f"{directory}\n0027\n") == 2
    instance.stop()


def test_a_program_found_in_the_path_again(moult, port, directory):
    """A symlink that is flipped names another version: the next generation is that one."""
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


# ---- exit statuses and bad input ----

@pytest.mark.parametrize("verb", ["status", "upgrade", "stop"])
def test_no_such_instance(moult, verb):
    result = moult().command(verb, "nobody")
    assert result.returncode == 3
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "nobody" in result.stderr


def test_a_name_is_taken_once(moult, load, port):
    """A second launcher of the same name is refused, and the first has not noticed."""
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


def test_a_socket_that_a_dead_launcher_left(moult, port):
    """SIGKILL leaves the control socket's file; the next launcher takes its place."""
    instance = moult()
    path = instance.runtime / f"{instance.name}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(path))
    assert instance.command("status", instance.name).returncode == 3
    instance.run(command=waiter("g1", port))
    instance.stop()
    assert not path.exists()


BAD = [
    [], ["--nonsense"], ["nonsense"], ["run"], ["run", "--"], ["run", "--nonsense", "--", "true"],
    ["run", "--name", "--", "true"], ["run", "--name=", "--", "true"],
    ["run", "--name=a/b", "--", "true"], ["run", "--name=.a", "--", "true"],
    ["run", "--name=" + "a" * 65, "--", "true"], ["run", "-n"], ["run", "--", ""],
    *(["run", f"--{option}={value}", "--", "true"]
      for option in ("ready-timeout", "drain-timeout", "kill-after")
      for value in ("", "soon", "5", "-5s", "5 s", "5x", "1e3s", "99999999999999999999s", "nan")),
    ["run", "--ready-timeout=0s", "--", "true"],
    *(["run", f"--{option}={value}", "--", "true"] for option in ("drain-signal", "stop-signal")
      for value in ("", "SIG", "TERMINATE", "0", "-1", "999", "1.5")),
    *(["run", f"--ready={value}", "--", "true"]
      for value in ("", "soon", "fd", "fd=", "fd=x", "fd=1", "fd=-1", "fd=99999", "exec", "exec=")),
    *(["run", f"--restart={value}", "--", "true"] for value in ("", "yes", "never")),
    *(["run", f"--max-draining={value}", "--", "true"] for value in ("", "0", "-1", "x", "1000")),
    *(["run", f"--log={value}", "--", "true"] for value in ("", "file")),
    ["run", "--pid-file=", "--", "true"],
    ["run", "--background=yes", "--", "true"], ["run", "--wait", "--", "true"],
    ["run", "--json", "--", "true"],
    ["upgrade", "a", "b"], ["upgrade", "a/b"], ["upgrade", "--ready-timeout=soon", "a"],
    ["upgrade", "--background", "a"], ["upgrade", "--name=a"], ["upgrade", "a", "--", ""],
    ["upgrade", "a", "--stop-signal=NOPE"],
    ["status", "a", "b"], ["status", "--now"], ["status", "--json=1"],
    ["list", "a"], ["list", "--json", "x"], ["stop", "--json"], ["stop", "a", "b"],
    ["status", "../a"], ["stop", "-x"],
]


@pytest.mark.parametrize("words", BAD, ids=lambda words: " ".join(w[:25] for w in words) or "-")
def test_a_wrong_command_line(moult, words):
    """One line on stderr, status 2, and nothing has happened."""
    instance = moult()
    result = instance.command(*words)
    assert result.returncode == 2, result
    assert result.stdout == ""
    if words:
        assert result.stderr.startswith("moult: ") and result.stderr.count("\n") == 1
    assert list(instance.runtime.iterdir()) == []


@pytest.mark.parametrize("words", [
    ["--ready-timeout=soon"], ["--stop-signal=NOPE"], ["--ready=what"], ["--max-draining=0"],
])
def test_a_wrong_upgrade_changes_nothing(moult, load, port, words):
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    result = instance.upgrade(*words, expect=2)
    assert result.stderr.startswith("moult: ") and result.stderr.count("\n") == 1
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (0, 0)
    instance.stop()


def test_help_and_version(moult):
    instance = moult()
    for words in (["--help"], ["run", "--help"], ["upgrade", "--help"]):
        result = instance.command(*words)
        assert result.returncode == 0 and result.stderr == ""
        for word in ("run", "upgrade", "status", "list", "stop", "--drain-timeout", "--ready"):
            assert word in result.stdout
    result = instance.command("--version")
    assert result.returncode == 0 and re.match(r"moult \d+\.\d+", result.stdout)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_runtime_directory_others_may_write_to(moult, port, mode):
    """Whoever can replace the socket can talk to the operator in the launcher's place."""
    instance = moult()
    instance.runtime.chmod(mode)
    result = instance.command("run", "-n", "x", "--", *waiter("g1", port))
    assert result.returncode in (1, 2)
    assert str(instance.runtime) in result.stderr
    assert not processes.descendants()
    instance.runtime.chmod(0o700)


def control(instance, *datagrams):
    """Sends them to the control socket, each as it is; returns what is answered to the last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(5)
        connection.connect(str(instance.runtime / f"{instance.name}.sock"))
        answers = []
        try:
            for datagram in datagrams:
                connection.send(datagram)
            while True:
                answer = connection.recv(1 << 17)
                if not answer:
                    return answers
                answers.append(answer)
        except OSError:
            return answers


@pytest.mark.parametrize("datagram", [
    b"", b"\0", b"\0\0\0", b"x" * 60000, b"\xff" * 1000, b"1", b"1\0", b"1\0upgrade",
    b"1\0nonsense\0", b"2\0status\0", b"1\0status\0--nonsense\0",
    b"1\0upgrade\0--ready-timeout=soon\0", b"1\0upgrade\0--\0", b"1\0upgrade\0a\0b\0c\0",
    b"1\0run\0--\0true\0", b"1\0stop\0--now=1\0",
    b"1\0upgrade\0" + b"--\0" + b"a\0" * 20000 + b"--fail", b"\x00" * 5000,
], ids=lambda value: repr(value[:24]))
def test_garbage_to_the_control_socket(moult, load, port, datagram):
    """It is refused with status 2 or silence; the daemon serves on and the next upgrade works."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    answers = control(instance, datagram)
    exits = [answer for answer in answers if answer[:1] == b"x"]
    assert exits in ([], [b"x2"]), answers
    client.wait_answers(20)
    assert instance.status()["upgrades"] == {**instance.status()["upgrades"], "completed": 0,
                                             "failed": 0}
    instance.upgrade()
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    instance.stop()


def test_clients_that_connect_and_say_nothing(moult, port):
    """A hundred silent ones do not keep the operator from being heard."""
    instance = moult().run(command=waiter("g1", port))
    silent = []
    for _ in range(100):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        silent.append(connection)
        with contextlib.suppress(BlockingIOError):
            connection.connect(str(instance.runtime / f"{instance.name}.sock"))
    instance.upgrade()
    assert instance.status()["upgrades"]["completed"] == 1
    for connection in silent:
        connection.close()
    instance.stop()


def test_another_user_is_not_answered(moult, port, directory):
    """Even if the socket's directory let him in: the launcher looks at who asks."""
    instance = moult().run(command=waiter("g1", port))
    tool = directory / "moult"
    shutil.copy(build.MOULT, tool)
    tool.chmod(0o755)
    path = instance.runtime / f"{instance.name}.sock"
    instance.runtime.chmod(0o711)
    path.chmod(0o666)
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
              "s.settimeout(5)\n"
              "s.connect(sys.argv[1])\n"
              "s.send(b'1\\0stop\\0--now\\0')\n"
              "print(s.recv(1000))\n")
    result = subprocess.run(["/usr/bin/python3", "-c", script, str(path)], user=65534, group=65534,
                            capture_output=True, text=True, timeout=20)
    assert b"x0".decode() not in result.stdout
    instance.runtime.chmod(0o700)
    assert instance.status()["state"] == "serving"
    instance.upgrade()
    instance.stop()


# ---- programs that cannot be upgraded, and the library's guests ----

def test_a_static_program_is_said_to_be_one(moult, port):
    """It is started and serves; an upgrade is refused with the reason."""
    command = [program("waiter-static"), *waiter("g1", port)[1:]]
    instance = moult().run("--ready-timeout=300ms", wait=False, command=command)
    instance.wait_log(r"waiter-static is statically linked")
    instance.wait_log(r"not ready after 300 ms")
    assert ask(port).startswith("GEN g1 ")
    result = instance.upgrade(expect=1)
    assert "statically linked" in result.stderr
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


def test_a_program_with_its_own_system_calls_is_said_to_be_one(moult, port):
    """A listener is there, and no bind was ever seen: as with every Go program."""
    command = [program("raw"), "--tag", "g1", "--port", port]
    instance = moult().run("--ready-timeout=300ms", wait=False, command=command)
    instance.wait_log(rf"raw listens on .*{port}.*its own system calls")
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


def test_a_program_that_never_listens_is_said_to_be_one(moult):
    instance = moult().run("--ready-timeout=300ms", wait=False, command=["sleep", "60"])
    instance.wait_log(r"not ready after 300 ms \(it has taken up no listening socket\)")
    instance.stop("--now")
    assert not processes.descendants()


def test_a_set_uid_program_is_said_to_be_one(moult, port, directory):
    """The loader ignores the library there, and so would every upgrade."""
    path = directory / "waiter"
    shutil.copy(program("waiter"), path)
    os.chown(path, 65534, 65534)
    path.chmod(0o4755)
    instance = moult().run("--ready-timeout=3s", wait=False,
                           command=[path, *waiter("g1", port)[1:]])
    instance.wait_log(r"set-uid|set-user")
    instance.stop("--now")


@pytest.mark.exact
@pytest.mark.exact
def test_the_daemon_sees_nothing_of_us(moult, plain, port, directory):
    """Environment, descriptors below 64, signals, threads; and what its children see."""
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
    """Without what the test itself makes different: streams, session, the runtime directory."""
    text = re.sub(r"(?m)^(environment )?MOULT_RUNTIME_DIR=.*\n", "", text)
    text = re.sub(r"(?m)^name .*\n", "", text)
    text = re.sub(r"(?m)^[012] -> .*\n", "", text)
    text = re.sub(r"(?m)^descriptor ([012]|[0-9]{3,}):.*\n", "", text)
    return re.sub(r":\[\d+\]|/proc/\d+|#\d+", "", text).splitlines()
