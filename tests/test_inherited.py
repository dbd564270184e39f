# SPDX-License-Identifier: MIT
"""What the launcher inherits: the launcher works with it, and the program inherits the same."""

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest

from harness import build, processes
from harness.build import program
from harness.moult import clean_environment
from harness.network import ask, listens
from harness.waiter import waiter
from harness.waiting import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SIG_IGN = ctypes.c_void_p(1)


def ignore(*numbers):
    LIBC.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    for number in numbers:
        LIBC.signal(number, SIG_IGN)


def limit(which, soft, hard):
    return lambda directory: resource.setrlimit(which, (soft, hard))


def close_streams(directory):
    for fd in (0, 1, 2):
        os.close(fd)


def lose_directory(directory):
    (directory / "lost").mkdir()
    os.chdir(directory / "lost")
    (directory / "lost").rmdir()


def have_children(directory):
    """Gives the launcher two children: one has ended, the other ends with the launcher."""
    if os.fork() == 0:
        os._exit(3)
    if os.fork() == 0:
        os.closerange(0, 4096)
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        signal.pause()
        os._exit(0)


def other_priorities(directory):
    os.nice(3)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("321")


STATES = {
    "children-are-not-waited-for": lambda directory: ignore(signal.SIGCHLD),
    "signals-ignored": lambda directory: ignore(*(set(range(1, 65)) - {9, 19, 32, 33})),
    "signals-blocked": lambda directory: signal.pthread_sigmask(
        signal.SIG_BLOCK, signal.valid_signals()),
    "umask-none": lambda directory: os.umask(0),
    "umask-all": lambda directory: os.umask(0o777),
    "no-streams": close_streams,
    "descriptors": limit(resource.RLIMIT_NOFILE, 40, 48),
    "file-size": limit(resource.RLIMIT_FSIZE, 32768, 1 << 30),
    "processor-time": limit(resource.RLIMIT_CPU, 20, 30),
    "no-core": limit(resource.RLIMIT_CORE, 0, 4096),
    "stack": limit(resource.RLIMIT_STACK, 256 << 10, 1 << 30),
    "alarm": lambda directory: signal.setitimer(signal.ITIMER_REAL, 600, 7),
    "alarm-of-processor-time": lambda directory: signal.setitimer(signal.ITIMER_PROF, 600),
    "subreaper": lambda directory: LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1),
    "death-signal": lambda directory: LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL)),
    "lost-directory": lose_directory,
    "children": have_children,
    "passed-descriptors": lambda directory: None,
    "priorities": other_priorities,
}


def seen(path):
    """What mirror has recorded, without what the test itself makes different."""
    text = re.sub(r"(?m)^environment MOULT_RUNTIME_DIR=.*\n", "", path.read_text())
    text = re.sub(r"(?m)^(descriptor [012]:|argument |name ).*\n", "", text)
    path.unlink()
    return text.splitlines()


THROUGH = {
    "passed-descriptors": [
        "bash", "-c", 'exec 5<>/dev/null 9</dev/null 63>/dev/null; exec "$@"', "bash"],
}


@pytest.mark.exact
@pytest.mark.parametrize("state", STATES)
def test_the_program_inherits_what_the_launcher_inherited(moult, port, directory, state):
    """The same as without a launcher, before and after an upgrade; upgrade and stop work."""
    path = directory / "mirror.out"
    command = [program("mirror"), "--tag", "g1", "--port", str(port), "--output", str(path)]
    through = THROUGH.get(state, [])
    options = {"preexec_fn": lambda: STATES[state](directory)}
    with subprocess.Popen([*through, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=clean_environment(),
                          start_new_session=True, **options) as plain:
        try:
            wait_until(lambda: listens("127.0.0.1", port), 10, "nobody listens")
            ask(port)
        finally:
            plain.kill()
    expected = seen(path)

    instance = moult().run(through=through, command=command, **options)
    ask(port)
    assert seen(path) == expected
    # The launcher's own stdin, stdout and stderr are /dev/null or its log.
    streams = [os.readlink(f"/proc/{instance.process.pid}/fd/{fd}") for fd in (0, 1, 2)]
    assert all(stream == "/dev/null" or stream == str(instance.log_path) for stream in streams)
    instance.upgrade()
    ask(port)
    assert seen(path) == expected
    instance.stop()


@pytest.mark.parametrize("which,soft,hard", [
    (resource.RLIMIT_NOFILE, 40, 64), (resource.RLIMIT_FSIZE, 1 << 17, 1 << 25),
    (resource.RLIMIT_NPROC, 1, 500)], ids=["descriptors", "file-size", "processes"])
def test_limits_of_an_ordinary_user(moult, port, directory, which, soft, hard):
    """Soft limits are raised up to the hard limit only; upgrades and stop work."""
    instance = moult(user=65533)
    for path in (build.MOULT, build.LIBRARY, program("waiter")):
        shutil.copy(path, directory)
    instance.moult = directory / "moult"
    command = [str(directory / "waiter"), *waiter("g1", port)[1:]]
    instance.run(command=command, preexec_fn=lambda: resource.setrlimit(which, (soft, hard)))
    instance.upgrade()
    instance.stop()


def test_a_file_size_limit_that_is_too_low(moult, port):
    """The memory that the launcher shares with the program counts as a file.  One line names the
    limit."""
    result = moult().command(
        "run", "-n", "x", "--", *waiter("g1", port), through=["setpriv", "--bounding-set=-all",
        "--inh-caps=-all", "sh", "-c", 'ulimit -f 8; exec "$@"', "sh"])
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "ulimit -f" in result.stderr, result.stderr
    assert not processes.descendants()


def test_an_alarm_ends_the_program_and_not_the_launcher(moult, port):
    """An alarm that is set before exec is meant for the program."""
    instance = moult().run("--restart=always", command=waiter("g1", port),
                           preexec_fn=lambda: signal.setitimer(signal.ITIMER_REAL, 2))
    instance.wait_log(r"generation 1: .*SIGALRM", deadline=15)
    wait_until(lambda: instance.status()["state"] == "serving", 10, instance.log)
    assert instance.process.poll() is None
    instance.stop()


def test_the_launcher_stops_the_program_when_its_parent_dies(moult, port):
    """--pdeathsig=KILL would kill only the launcher and leave the program running."""
    read, write = os.pipe()
    instance = moult()
    parent = ("import os, subprocess, sys\n"
              "launcher = subprocess.Popen(['setpriv', '--pdeathsig=KILL', *sys.argv[1:]])\n"
              f"os.read({read}, 1)\n")
    instance.run(through=["/usr/bin/python3", "-c", parent], command=waiter("g1", port),
                 pass_fds=(read,))
    os.close(read)
    os.close(write)
    instance.process.wait(10)
    wait_until(lambda: not processes.with_words(program("waiter")), 15, instance.log)
    processes.reap_orphans()


@pytest.mark.exact
def test_the_launcher_refuses_to_start_without_proc(moult, port):
    """The launcher could not find the processes of the program.  It says so in one line and starts
    nothing."""
    instance = moult()
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh",
         str(instance.moult), "run", "-n", "x", "--", *waiter("g1", port)],
        capture_output=True, text=True, env=instance.environment, timeout=20)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "/proc is not mounted" in result.stderr
    assert not processes.descendants()


def test_sockets_passed_by_an_init_system_reach_each_generation(moult, port, directory):
    """LISTEN_PID names the process that may use them: the program of each generation."""
    path = directory / "pids"
    script = f'echo "$LISTEN_PID $$ $LISTEN_FDS" >>{path}; exec "$@"'
    instance = moult().run(through=["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"],
                           command=["sh", "-c", script, "sh", *waiter("g1", port)])
    instance.upgrade()
    lines = [line.split() for line in path.read_text().splitlines()]
    assert len(lines) == 2 and all(line[0] == line[1] and line[2] == "1" for line in lines), lines
    instance.stop()


@pytest.mark.parametrize("number", range(3, 21))
def test_the_readiness_descriptor_may_have_any_number(moult, port, directory, number):
    """No descriptor of the launcher takes that number, so a program that cannot run is reported as
    such."""
    busy = directory / "busy"
    shutil.copy(program("waiter"), busy)
    command = waiter("g1", port, f"--ready-fd={number}")
    instance = moult().run(f"--ready=fd={number}", command=command)
    with open(busy, "r+b"):  # ETXTBSY: nothing but the attempt can tell
        result = instance.upgrade(command=[str(busy), *command[1:]], expect=126)
    assert "Text file busy" in result.stderr
    instance.upgrade(command=[str(busy), *command[1:]])
    instance.stop()


def test_a_readiness_descriptor_beyond_the_limit_fails_the_start(moult, port):
    """The program could not have that number."""
    result = moult().command("run", "-n", "x", "--ready=fd=900", "--",
                             *waiter("g1", port, "--ready-fd=900"),
                             through=["setpriv", "--bounding-set=-all", "--inh-caps=-all", "sh", "-c",
                                      'ulimit -n 100; exec "$@"', "sh"])
    assert result.returncode != 0
    assert "Bad file descriptor" in result.stderr, result.stderr
    assert not processes.descendants()


def test_a_launcher_under_another_launcher(moult, port):
    """The library and the variables of the outer launcher have no effect on the inner one."""
    inner = moult("inner")
    outer = moult("outer")
    outer.run(command=[str(inner.moult), "run", "-n", "inner", "--", *waiter("g1", port)])
    wait_until(lambda: (inner.status(check=False) or {}).get("state") == "serving", 15, outer.log)
    inner.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    assert [g["id"] for g in inner.status()["generations"]][0] == 2
    assert inner.command("stop", "inner").returncode == 0
    outer.wait_ended()
