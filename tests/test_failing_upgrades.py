# SPDX-License-Identifier: MIT
"""A new version that fails: the current generation goes on, and no process or file of the new
one is left."""

import collections
import os
import re
import shutil

import pytest

from harness import cases, processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.waiting import wait_until


def epoll(tag, port, *more):
    return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking", "--port", str(port),
            *more]


def assert_failed(instance, result, count=1):
    """The upgrade gave the reason, left nothing behind, and did not change the current
    generation."""
    lines = result.stderr.strip().splitlines()
    assert lines, "not a word"
    assert not instance.tagged("bad"), instance.log()
    status = instance.status()
    assert status["state"] == "serving"
    current = [g for g in status["generations"] if g["state"] == "current"]
    assert [g["id"] for g in status["generations"]] == [1] and len(current) == 1
    assert (status["upgrades"]["completed"], status["upgrades"]["failed"]) == (0, count)
    last = status["upgrades"]["last"]
    assert last["result"] == "failed" and last["reason"]
    assert any(last["reason"] in line for line in lines), (last, lines)


# How it fails, and the words that the operator reads
FAILURES = [
    (("--fail=exit0",), r"exited with status 0"),
    (("--fail=exit1",), r"exited with status 1"),
    (("--fail=abort",), r"SIGABRT"),
    (("--fail=segv",), r"SIGSEGV"),
    (("--fail=hang",), r"ready"),
    (("--fail=leave-helper",), r"exited with status 1"),
    (("--fail=daemonise-then-fail",), r"exited|ended|gone"),
    (("--fail=exit0", "--fail-at=listening"), r"exited with status 0"),
    (("--fail=exit1", "--fail-at=listening"), r"exited with status 1"),
    (("--fail=segv", "--fail-at=listening"), r"SIGSEGV"),
    (("--fail=hang", "--fail-at=listening"), r"ready"),
    (("--fail=leave-helper", "--fail-at=listening"), r"exited with status 1"),
    (("--fail=daemonise-then-fail", "--fail-at=listening"), r"exited|ended|gone"),
    (("--habit=daemon", "--fail=exit1", "--fail-at=listening"), r"exited|ended|gone"),
    (("--habit=double-fork", "--fail=segv", "--fail-at=bound"), r"exited|ended|gone|SIGSEGV"),
    (("--fail=die-soon", "--fail-at=waiting"), r"exited with status 1"),
    (("--habit=daemon", "--fail=die-soon", "--fail-at=waiting"), r"exited|ended|gone"),
    (("--habit=fork-after-bind", "--fail=die-soon", "--fail-at=waiting"), r"exited|ended|gone"),
]


@pytest.mark.parametrize("options, reason", FAILURES,
                         ids=lambda value: "-".join(o.lstrip("-").partition("=")[2] for o in value)
                         if isinstance(value, tuple) else "")
def test_a_version_that_fails_changes_nothing(moult, load, port, options, reason):
    """Under load, with connections held; the next upgrade is good and succeeds."""
    instance = moult().run("--ready-timeout=700ms", command=epoll("g1", port))
    client = load(f"127.0.0.1:{port}", rate=600, persistent=3)
    client.wait(lambda report: report["answered"] >= 50 and report["persistent"]["answered"] >= 3)
    result = instance.upgrade(command=epoll("bad", port, *options), expect=1)
    assert_failed(instance, result)
    processes_left = [p for p in processes.descendants() if "bad" in p.command]
    assert not processes_left
    assert re.search(reason, result.stderr), result.stderr
    client.wait_answers(50, "g1")  # not one of the others
    switched = instance.upgrade("--ready-timeout=20s", command=epoll("g2", port)).instant
    client.renew()
    client.wait_answers(50, "g2")
    instance.wait_gone(1)
    result = client.stop()
    assert_nothing_lost(result)
    assert result.tags["g1"]["last_started_ns"] < switched
    if "--fail=die-soon" not in options:
        assert list(result.tags) == ["g1", "g2"], result.explain()
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (1, 1)
    instance.stop()


@pytest.mark.parametrize("case", [case for case in cases.WAITS if case.name in (
    "accept-single", "accept-pool", "accept-prefork", "epoll-edge-exclusive-4-processes",
    "epoll-shared-nonblocking", "select-blocking", "epoll-oneshot-blocking")], ids=cases.ids)
@pytest.mark.parametrize("options", [
    ("--fail=exit1", "--fail-at=listening"), ("--fail=die-soon", "--fail-at=waiting")],
    ids=["before-ready", "after-ready"])
def test_every_way_of_waiting_survives_a_roll_back(moult, load, port, case, options):
    """The current generation serves again on the listeners that it had given up."""
    instance = moult().run(command=case.command("g1", [port]))
    client = load(f"127.0.0.1:{port}", rate=case.rate, persistent=case.persistent)
    client.wait_answers(50)
    result = instance.upgrade(command=epoll("bad", port, *options), expect=1)
    assert_failed(instance, result)
    client.wait_answers(100, "g1")
    result = instance.upgrade(command=epoll("bad", port, *options), expect=1)
    assert_failed(instance, result, count=2)
    client.wait_answers(100, "g1")
    result = client.stop()
    assert_nothing_lost(result)
    instance.stop()


def remove(path):
    path.unlink()


def make_unexecutable(path):
    path.chmod(0o644)


def make_directory(path):
    path.unlink()
    path.mkdir()


def lose_interpreter(path):
    path.write_text("#!/nowhere/interpreter\n")


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("spoil, status, words", [
    (remove, 127, "not found|No such file"),
    (lose_interpreter, 127, "not found|No such file"),
    (make_unexecutable, 126, "[Pp]ermission denied|not executable|cannot be executed"),
    (make_directory, 126, "[Pp]ermission denied|directory|cannot be executed"),
    (truncate, 126, "[Ff]ormat|cannot be executed"),
], ids=lambda value: value.__name__ if callable(value) else "")
def test_a_damaged_program_file_fails_the_upgrade(moult, load, port, directory, spoil, status, words):
    """The reason is told; once the file is repaired, the next upgrade succeeds."""
    path = directory / "daemon"
    shutil.copy(program("waiter"), path)
    command = [str(path), *epoll("g1", port)[1:]]
    instance = moult().run(command=command)
    client = load(f"127.0.0.1:{port}", rate=600, persistent=2)
    client.wait_answers(50)
    path.rename(directory / "kept")  # the running one is not to be touched
    shutil.copy(directory / "kept", path)
    spoil(path)
    result = instance.upgrade(expect=status)
    assert_failed(instance, result)
    assert re.search(words, result.stderr), result.stderr
    assert str(path) in result.stderr
    if path.is_dir():
        path.rmdir()
    os.replace(directory / "kept", path)
    instance.upgrade()
    client.renew()
    instance.wait_gone(1)
    client.wait_answers(50)
    assert_nothing_lost(client.stop())
    instance.stop()


def test_of_twenty_upgrades_at_once_one_runs(moult, load, port):
    """The other nineteen are refused as busy, and change nothing."""
    instance = moult().run(command=epoll("g1", port))
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(50)
    words = ["upgrade", instance.name, "--", *epoll("g2", port, "--start-delay=1500")]
    commands = [instance.start_command(*words) for _ in range(20)]
    ended = [(command.communicate(timeout=30), command.returncode) for command in commands]
    assert collections.Counter(status for _, status in ended) == {0: 1, 75: 19}, ended
    for (out, err), status in ended:
        if status == 75:
            assert out == "" and len(err.splitlines()) == 1, err
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1", "g2"]
    assert instance.status()["upgrades"]["completed"] == 1
    instance.wait_alone()
    instance.stop()


@pytest.mark.parametrize("options", [("--fail=exit1",), ("--fail=die-soon", "--fail-at=waiting")],
                         ids=["before-ready", "after-ready"])
def test_a_failed_upgrade_keeps_the_command(moult, load, port, options):
    """`upgrade` without a command starts the program that serves, not the one that failed last."""
    instance = moult().run(command=epoll("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    assert_failed(instance, instance.upgrade(command=epoll("bad", port, *options), expect=1))
    switched = instance.upgrade().instant
    instance.wait_gone(1)
    assert instance.generation(3)["command"] == epoll("g1", port)
    client.wait(lambda report: report.tags["g1"]["last_started_ns"] > switched)
    assert_nothing_lost(client.stop())
    instance.stop()


def test_the_next_generation_is_killed_while_it_starts(moult, load, port):
    """kill -9 of the whole process tree counts as any other failure."""
    instance = moult().run(command=epoll("g1", port))
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(20)
    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *epoll("bad", port, "--fail=hang"))
    bad = wait_until(lambda: instance.tagged("bad"), 10, "the next generation does not start")
    for process in bad:
        os.kill(process.pid, 9)
    _, err = upgrade.communicate(timeout=20)
    assert upgrade.returncode == 1
    assert "SIGKILL" in err
    switched = [instance.upgrade(command=epoll("g2", port)).instant]
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], switched)
    instance.stop()


# What a runtime says when it ends, and what of it says why
SAID = {
    "python": ("Traceback (most recent call last):\n  File \"s.py\", line 1, in <module>\n"
               "    start()\nValueError: no port\n", "ValueError: no port"),
    "ruby": ("s.rb:1:in `start': no port (ArgumentError)\n\tfrom s.rb:1:in `<main>'\n",
             "s.rb:1:in `start': no port (ArgumentError)"),
    "java": ("Exception in thread \"main\" java.net.BindException: no port\n"
             + "".join(f"\tat Server.start(Server.java:{n})\n" for n in range(100)),
             "Exception in thread \"main\" java.net.BindException: no port"),
    "lua": ("lua: s.lua:1: no port\nstack traceback:\n\t[C]: in ?\n", "lua: s.lua:1: no port"),
    "indented": ("  no port\n", "  no port"),
}


@pytest.mark.parametrize("runtime", SAID)
def test_the_line_with_the_reason_is_shown(moult, port, directory, runtime):
    """The reason is not always in the last line: some programs print a call stack after it."""
    said, why = SAID[runtime]
    (directory / "said").write_text(said)
    instance = moult().run(command=epoll("g1", port))
    result = instance.upgrade(expect=1, command=[
        "sh", "-c", "cat \"$1\" >&2; exit 1", "sh", str(directory / "said")])
    assert result.stderr.splitlines()[-1].endswith(f"; its last output: {why}"), result.stderr
    instance.stop()
