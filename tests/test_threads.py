# SPDX-License-Identifier: MIT
"""Many threads and processes at full speed: cancelled, interrupted and forked during upgrades."""

import fcntl
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import build, processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask
from harness.waiting import wait_until

WAITS = {"accept": (), "poll": ("--nonblocking",), "epoll": ("--nonblocking",)}


def crew(tag, port, model, *more):
    return [program("crew"), "--tag", tag, f"--model={model}", *WAITS.get(model, ()),
            "--port", str(port), *more]


def storm(tag, port, model, *more):
    return [program("storm"), "--tag", tag, f"--model={model}", "--port", str(port), *more]


def held(load, port):
    """One connection that stays."""
    client = load(f"127.0.0.1:{port}", rate=0, persistent=1, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"])
    return client


def switch_under_load(instance, load, port, command, rate=600, upgrades=3):
    tags = [f"g{number}" for number in range(1, upgrades + 2)]
    instance.run(command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=rate)
    client.wait_answers(50)
    switched = [instance.upgrade(command=command(tag)).instant for tag in tags[1:]]
    client.wait_answers(50, tags[-1])
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, tags, switched)
    instance.wait_alone()
    for tag in tags[:-1]:
        assert not instance.tagged(tag)
    instance.stop()
    assert not processes.descendants()


@pytest.mark.parametrize("model", WAITS)
def test_32_threads_that_wait_together(moult, load, port, model):
    switch_under_load(moult(), load, port,
                      lambda tag: crew(tag, port, model, "--processes=32"))


@pytest.mark.parametrize("model", ["once", "twice"])
def test_processes_that_come_and_go(moult, load, port, model):
    """Some fork and end while others accept; the process that accepts is not the one that serves,
    or serves only once."""
    switch_under_load(moult(), load, port, lambda tag: storm(tag, port, model), rate=60)


@pytest.mark.timeout(180)
def test_more_processes_than_there_is_room_for(moult, port):
    """5000 processes have come and gone; later processes still have counters of their own.  The
    launcher must not wait for a process that was killed while it waited for a connection."""
    instance = moult().run("--drain-timeout=100s",
                           command=storm("g1", port, "once", "--processes=5000"))
    main = instance.generation(1)["pid"]
    instance.wait_log("storm g1: over", deadline=100)  # no command asks for the status meanwhile
    for _ in range(2):  # the second time, those that came after the storm
        workers = [p.pid for p in instance.tagged("g1") if p.parent == main]
        processes.kill(workers)
        wait_until(lambda: waiting(instance, main) >= 6, reason="none follow")
    instance.upgrade(command=storm("g2", port, "once", "--processes=8"))
    assert ask(port).split()[:2] == ["GEN", "g2"]
    instance.wait_gone(1)
    instance.stop()


def waiting(instance, main):
    return sum(1 for p in instance.tagged("g1") if p.parent == main and p.state == "S")


def cancel(instance, tag):
    """Cancels half of the crew while these threads wait; the others go on."""
    start = len(instance.log())
    os.kill(instance.tagged(tag)[0].pid, signal.SIGUSR1)
    instance.wait_log(f"crew {tag}: cancelled and replaced", start=start)


@pytest.mark.parametrize("model", WAITS)
def test_threads_are_cancelled_where_they_wait(moult, load, port, directory, model):
    """At an open gate, before the gate opens and after it has closed.  Afterwards the launcher
    waits for none of them."""
    flag = directory / "ready"
    instance = moult().run_ready_by(flag, port, crew("g1", port, model))
    cancel(instance, "g1")
    client = held(load, port)
    upgrade = instance.start_command("upgrade", instance.name, "--drain-timeout=100s", "--",
                                     *crew("g2", port, model))
    instance.wait_generation(2, lambda new: new and new["state"] == "next" and new["processes"])
    wait_until(lambda: blocked(instance.tagged("g2")[0].pid, 8), reason="no crew")
    cancel(instance, "g2")
    cancel(instance, "g1")
    flag.touch()
    _, err = upgrade.communicate(timeout=20)
    assert upgrade.returncode == 0, err
    assert ask(port).split()[:2] == ["GEN", "g2"]
    cancel(instance, "g1")
    cancel(instance, "g2")
    assert ask(port).split()[:2] == ["GEN", "g2"]
    client.close_persistent()
    instance.wait_gone(1)  # an accept that seems to be under way would keep the generation
    assert not client.stop().losses
    instance.stop()


def blocked(pid, count):
    """Waits until at least that many threads exist, and all of them sleep."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as file:
            states.append(file.read().rpartition(")")[2].split()[0])
    return len(states) >= count and set(states) == {"S"}


@pytest.mark.parametrize("before, after", [(1, 0), (2, 0), (1, 2)])
def test_an_accept_left_by_siglongjmp(moult, load, port, before, after):
    """Before the gate closes and after that.  The next accept() is called higher up the stack or
    deeper down, in turns."""
    def jump(tag):
        tell(instance.log, instance.tagged(tag)[0].pid, signal.SIGUSR1,
             f"crew {tag}: jumped out of accept")

    instance = moult().run(command=crew("g1", port, "jump"))
    for number in (2, 3):
        old, new = f"g{number - 1}", f"g{number}"
        for _ in range(before):
            jump(old)
        client = held(load, port)
        instance.upgrade("--drain-timeout=100s", command=crew(new, port, "jump"))
        assert ask(port).split()[:2] == ["GEN", new]
        for _ in range(after):
            jump(old)
        client.close_persistent()
        instance.wait_gone(number - 1)
        assert not client.stop().losses
    assert ask(port).split()[:2] == ["GEN", "g3"]
    instance.stop()


def tell(log, pid, number, text):
    """Sends one signal to a process that sleeps, and waits until the process has reported it."""
    wait_until(lambda: sleeps(pid), reason="it does not wait")
    start = len(log())
    os.kill(pid, number)
    wait_until(lambda: text in log()[start:], reason=lambda: f"not {text!r} in\n{log()}")


def sleeps(pid):
    with open(f"/proc/{pid}/task/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def what_signals_do(log, pid):
    """What the program reports after two signals that restart its wait and one that interrupts
    it."""
    start = len(log())
    for number in (signal.SIGUSR1, signal.SIGUSR1):
        tell(log, pid, number, "heard, to be restarted")
    tell(log, pid, signal.SIGUSR2, "heard, to be interrupted")
    wait_until(lambda: re.search(r"to be interrupted\n.*: interrupted\n", log()[start:]),
               reason=lambda: f"SIGUSR2 does not interrupt:\n{log()[start:]}")
    wait_until(lambda: sleeps(pid), reason="it does not wait again")
    return re.findall(r"crew \w+: (heard, .*|interrupted)", log()[start:])


@pytest.mark.parametrize("model", WAITS)
def test_signals_interrupt_as_without_moult(moult, plain, load, port, model):
    """SA_RESTART restarts an accept and no other wait, both at an open gate and at a closed one."""
    def command(tag):
        return crew(tag, port, model, "--output=yes")

    alone = plain(command("g0")).wait_listening(port)
    expected = what_signals_do(lambda: alone.written(alone.err), alone.process.pid)
    alone.end()
    assert expected.count("interrupted") == (1 if model == "accept" else 3)

    instance = moult().run(command=command("g1"))
    pid = instance.tagged("g1")[0].pid
    client = held(load, port)
    assert what_signals_do(instance.log, pid) == expected
    instance.upgrade(command=command("g2"))
    assert ask(port).split()[:2] == ["GEN", "g2"]
    assert what_signals_do(instance.log, pid) == expected
    assert what_signals_do(instance.log, instance.tagged("g2")[0].pid) == expected
    client.close_persistent()
    instance.wait_gone(1)
    assert not client.stop().losses
    instance.stop()


THREAD_BUILD = build.ROOT / "build-thread"


def build_with_thread_sanitiser():
    """Builds the library alone, for an ordinary launcher; the runtime that the library needs comes
    first."""
    THREAD_BUILD.mkdir(exist_ok=True)
    with open(THREAD_BUILD / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "--silent", "CC=gcc", "SANITIZE=thread", f"BUILD={THREAD_BUILD.name}",
             f"{THREAD_BUILD.name}/libmoult.so"], cwd=build.ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items()
                 if name not in ("MAKEFLAGS", "MAKELEVEL")})
        assert made.returncode == 0, made.stdout
        launcher = THREAD_BUILD / "moult"
        shutil.copy2(build.MOULT, THREAD_BUILD / "moult.new")
        os.replace(THREAD_BUILD / "moult.new", launcher)
    runtime = subprocess.run(["gcc", "-print-file-name=libtsan.so"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.strip()
    return launcher, runtime


@pytest.mark.exact  # it brings a sanitiser of its own
@pytest.mark.parametrize("model", WAITS)
def test_the_thread_sanitiser_finds_no_data_race(moult, load, port, directory, model):
    """32 threads use the tables of the library."""
    instance = moult()
    instance.moult, runtime = build_with_thread_sanitiser()
    reports = directory / "reports"
    reports.mkdir(mode=0o777)
    instance.environment["LD_PRELOAD"] = runtime
    instance.environment["TSAN_OPTIONS"] = f"handle_segv=0:exitcode=0:log_path={reports}/report"
    switch_under_load(instance, load, port, lambda tag: crew(tag, port, model, "--processes=32"),
                      rate=300, upgrades=2)
    assert not list(reports.iterdir()), "\n".join(
        report.read_text()[:4000] for report in reports.iterdir())
