# SPDX-License-Identifier: MIT
"""The control socket and the log: nobody keeps the operator out, and nothing drives his terminal."""

import contextlib
import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import build, processes
from harness.build import program
from harness.network import ask
from harness.waiting import wait_until

# Each with a visible word behind it: an escape sequence, C1 as a byte and in UTF-8, lines, directions.
HOSTILE = (b"\x1b]0;owned\x07 \x1b[2Kb \r\n c\xc2\x9b31md \x9b31me \xe2\x80\xaef \xe2\x80\xa8g "
           b"\x7fh \xffi \xc0\xafj \xed\xa0\x80k \xf4\x90\x80\x80l")
HARMLESS = "käse-日本-😀"


def waiter(tag, port, *more):
    return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking", "--port", str(port),
            *more]


def silent_clients(instance, count):
    clients = []
    for _ in range(count):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            client.connect(str(instance.runtime / f"{instance.name}.sock"))
        clients.append(client)
    return clients


# ---- the socket ----

def test_any_user_may_lock_the_directory(moult, port):
    """The directory may be readable for all, as an init system makes it: a lock on it is nobody's."""
    instance = moult()
    instance.runtime.chmod(0o755)
    with subprocess.Popen(["flock", str(instance.runtime), "sh", "-c", "echo locked; exec sleep 99"],
                          user=65534, group=65534, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout.readline() == b"locked\n"
            instance.run(command=waiter("g1", port))
            assert (instance.runtime / ".lock").stat().st_mode & 0o777 == 0o600
            instance.stop()
        finally:
            processes.kill([stranger.pid, *(p.pid for p in processes.descendants(stranger.pid))])


def test_a_lock_that_is_never_released(moult, port):
    """Another process of the owner has it: the start fails and names the lock."""
    instance = moult()
    with open(instance.runtime / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = instance.command("run", "-n", "x", "--", *waiter("g1", port))
    assert result.returncode == 1
    assert f"{instance.runtime}/.lock" in result.stderr
    assert not processes.descendants()


def test_silent_clients_are_sent_away(moult, port):
    """More than there are places for: the operator is heard at once, and they are closed later."""
    instance = moult().run(command=waiter("g1", port))
    clients = []
    for _ in range(8):
        clients += silent_clients(instance, 50)
        assert instance.status()["state"] == "serving"
    instance.upgrade()
    assert select.select([clients[0]], [], [], 15)[0], "still there"
    wait_until(lambda: all(select.select([c], [], [], 0)[0] for c in clients), 15, "still there")
    for client in clients:
        client.close()
    instance.stop()


def test_a_client_that_reads_nothing(moult, port):
    """What it does not take is lost to it alone."""
    instance = moult().run(command=waiter("g1", port))
    deaf = silent_clients(instance, 20)
    for client in deaf:
        client.send(b"1\0upgrade\0--wait\0")
        for _ in range(5):
            with contextlib.suppress(OSError):
                client.send(b"1\0status\0")
    wait_until(lambda: not instance.start_command("upgrade", instance.name).wait(30), 30,
               instance.log)
    for client in deaf:
        client.close()
    instance.stop()


def test_no_descriptor_left(moult, port):
    """The launcher waits for better times without using them up, says so, and answers then."""
    instance = moult().run(command=waiter("g1", port))
    pid = instance.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, hard))
    command = instance.start_command("status", instance.name)
    began = time.monotonic()
    more = instance.wait_log(r"cannot accept: Too many open files \(and (\d+) more before\)")
    lasted = time.monotonic() - began
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert command.wait(10) == 0, instance.log()
    command.stdout.close()
    command.stderr.close()
    # Ten attempts in a second, not as many as the processor can make; and one line.
    assert int(more[1]) <= 10 * lasted + 10, instance.log()
    assert instance.log().count("cannot accept") <= lasted + 2, instance.log()
    instance.upgrade()
    instance.stop()


def test_descriptors_are_kept_for_the_operator(moult, port):
    """Everything else is in use: status and stop work."""
    instance = moult().run(command=waiter("g1", port))
    pid = instance.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)


    def numbers():
        return [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
    clients = []
    while len(numbers()) != max(numbers()) + 1:  # gaps
        count = len(numbers())
        clients += silent_clients(instance, 1)
        wait_until(lambda count=count: len(numbers()) > count, 5, instance.log)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(numbers()) + 1, hard))
    assert instance.status()["state"] == "serving"
    assert ask(port).startswith("GEN g1 ")
    for client in clients:
        client.close()
    instance.stop()
    assert "Too many open files" not in instance.log()


@pytest.mark.parametrize("variables, words", [
    ({}, ("neither XDG_RUNTIME_DIR", "/run/user/65534", "MOULT_RUNTIME_DIR")),
    ({"XDG_RUNTIME_DIR": "here"}, ("XDG_RUNTIME_DIR=here", "MOULT_RUNTIME_DIR")),
    ({"XDG_RUNTIME_DIR": "/nowhere/at/all"}, ("/nowhere/at/all/moult", "MOULT_RUNTIME_DIR")),
    ({"MOULT_RUNTIME_DIR": "here"}, ("MOULT_RUNTIME_DIR=here",)),
], ids=["none", "relative", "missing", "relative-of-ours"])
@pytest.mark.parametrize("verb", ["run", "status"])
def test_no_directory_for_the_socket(moult, port, directory, verb, variables, words):
    """An ordinary user is told what was tried, and what to set."""
    if verb == "status" and "/nowhere/at/all" in variables.values():
        words = ("no running instance", "/nowhere/at/all/moult")
    instance = moult(user=65534)
    instance.moult = directory / "moult"
    shutil.copy(build.MOULT, directory)
    del instance.environment["MOULT_RUNTIME_DIR"]
    instance.environment.update(variables)
    more = ["--", "/bin/sleep", "9"] if verb == "run" else []
    result = instance.command(verb, *more)
    assert result.returncode in (1, 3)
    line = result.stderr.splitlines()[-1]
    for word in words:
        assert word in line, result.stderr


# ---- what is printed ----

def assert_harmless(text):
    """Printable UTF-8 and line ends."""
    text = text.decode("utf-8")
    bad = re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]", text)
    assert not bad, (bad, text)
    return text


def test_nothing_drives_the_terminal(moult, port, directory):
    """Names of programs, arguments and sockets are chosen by others; the lines stay as many."""
    strange = os.fsencode(directory) + b"/" + HOSTILE.replace(b"\xc0\xaf", b"")
    os.mkdir(strange)
    path = strange + b"/" + HARMLESS.encode()
    instance = moult()
    instance.run("-v", command=waiter("g1", port, "--output", os.fsdecode(HOSTILE)))
    result = subprocess.run([str(instance.moult), "run", "-n", "x", "--", strange + b"/missing"],
                            capture_output=True, env=instance.environment, timeout=20)
    assert "b ?? c?31md ?31me ?f ?g ?h ?i" in assert_harmless(result.stderr)
    expected = len(instance.command("status", instance.name).stdout.splitlines())
    missing = os.fsdecode(strange + b"/missing")
    command = instance.start_command("upgrade", instance.name, "--", missing)
    command.wait(20)
    error = os.read(command.stderr.fileno(), 1 << 16)
    command.stdout.close()
    command.stderr.close()
    assert "b ?? c?31md ?31me ?f ?g ?h ?i" in assert_harmless(error)
    instance.upgrade(command=waiter("g2", port, "--output", os.fsdecode(HOSTILE),
                                    f"--unix={os.fsdecode(path)}"))
    text = subprocess.run([str(instance.moult), "status", instance.name], capture_output=True,
                          env=instance.environment, timeout=20).stdout
    text = assert_harmless(text)
    assert HARMLESS in text
    assert len(text.splitlines()) <= expected + 2, text
    instance.signal(signal.SIGUSR1)
    instance.wait_log(HARMLESS)
    assert_harmless(instance.log_path.read_bytes())
    names = [listener["address"] for listener in instance.status()["listeners"]]
    assert any(name.startswith("unix:") for name in names), names
    instance.stop()


# ---- the log ----

def test_a_reader_of_the_log_that_sleeps(moult, port, directory):
    """What does not fit into the pipe is lost, the upgrades go on, and the number is said once."""
    fifo = directory / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    instance = moult().run("-v", through=["sh", "-c", f'exec "$@" 2>{fifo}', "sh"],
                           command=waiter("g1", port))
    os.read(reader, 1 << 20)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(reader, b"x" * 4096)
    for _ in range(3):
        instance.upgrade("--wait")
    text = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            text += os.read(reader, 1 << 16)
    assert b"generation" not in text
    instance.upgrade("--wait")
    text = os.read(reader, 1 << 16).decode()
    assert re.match(r"moult: daemon: \d+ lines were lost\nmoult: daemon: generation 5: ", text), text
    assert text.count("were lost") == 1
    instance.stop()
    os.close(reader)


def test_the_last_output_is_the_programs(moult, port):
    """Launchers and commands write to the same file: none of their lines is taken for its words."""
    instance = moult().run("-v", command=waiter("g1", port))
    complaint = 'printf "no such colour: blue\\nunfinished" >&2; sleep 0.3; exit 7'
    with open(instance.log_path, "ab") as log:
        def upgrade(script):
            return subprocess.run([str(instance.moult), "upgrade", "-v", instance.name, "--",
                                   "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, env=instance.environment, timeout=30).returncode
        start = len(instance.log())
        assert upgrade(complaint) == 1
        assert "its last output: unfinished\n" in instance.log()[start:]
        start = len(instance.log())
        assert upgrade("sleep 0.3; exit 7") == 1
        assert "its last output" not in instance.log()[start:], instance.log()[start:]
        start = len(instance.log())
        assert upgrade("echo moult: web: generation 9: started >&2;"
                       "echo generation 9: started, pid 7 >&2; exit 7") == 1
        assert "its last output" not in instance.log()[start:], instance.log()[start:]
    instance.stop()


def test_a_system_log_that_sleeps(moult, port, directory):
    """Its queue is full: lines are lost, and the launcher does not wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as logger:
        logger.bind(str(directory / "logger"))
        here = ('mount -t tmpfs none /mnt && mount --bind /dev /mnt && mount -t tmpfs none /dev &&'
                'for i in null zero tty full random urandom shm pts; do ln -s /mnt/$i /dev/$i; done;'
                f'ln -s {directory}/logger /dev/log; exec "$@"')
        instance = moult().run("-v", "--log=syslog", through=["unshare", "-m", "sh", "-c", here,
                                                              "sh"], command=waiter("g1", port))
        assert b"<29>" in logger.recv(4096)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as noise:
            noise.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    noise.sendto(b"noise", str(directory / "logger"))
        instance.upgrade("--wait")
        logger.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert b"generation 2" not in logger.recv(4096)
        instance.upgrade("--wait")
        assert re.search(rb"moult\[\d+\]: daemon: \d+ lines were lost$", logger.recv(4096))
        assert b"generation 3" in logger.recv(4096)
        instance.stop()
