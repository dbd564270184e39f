# SPDX-License-Identifier: MIT
"""The control socket: silent and hostile clients do not keep the operator out."""

import contextlib
import fcntl
import os
import resource
import select
import shutil
import socket
import subprocess
import time

import pytest

from harness import build, processes
from harness.load import assert_nothing_lost
from harness.network import ask
from harness.waiter import waiter
from harness.waiting import wait_until


def limit_descriptors(instance, count):
    """Sets the descriptor limit of the launcher; returns the old limits."""
    pid = instance.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, before[1]))
    return before


def silent_clients(instance, count):
    """Connections to the control socket that say nothing."""
    clients = []
    for _ in range(count):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            client.connect(str(instance.runtime / f"{instance.name}.sock"))
        clients.append(client)
    return clients


def test_a_lock_on_the_directory_by_another_user_changes_nothing(moult, port):
    """An init system may make the directory readable for all, so anybody can lock it."""
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


def test_a_start_fails_if_the_lock_is_held(moult, port):
    """Another process of the owner holds it for ever: the start fails and names the lock."""
    instance = moult()
    with open(instance.runtime / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = instance.command("run", "-n", "x", "--", *waiter("g1", port))
    assert result.returncode == 1
    assert f"{instance.runtime}/.lock" in result.stderr
    assert not processes.descendants()


def test_silent_clients_are_disconnected(moult, port):
    """There are more silent clients than places.  The operator is answered at once, and the silent
    clients are closed later."""
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


def test_a_client_that_reads_nothing_delays_nobody(moult, port):
    """Only this client loses the output that it does not read."""
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


def test_the_launcher_waits_while_it_has_no_descriptor(moult, port):
    """The launcher waits without spinning, logs that once, and answers when a descriptor is free
    again."""
    instance = moult().run(command=waiter("g1", port))
    before = limit_descriptors(instance, 5)
    command = instance.start_command("status", instance.name)
    began = time.monotonic()
    more = instance.wait_log(r"cannot accept: Too many open files \(and (\d+) more before\)")
    lasted = time.monotonic() - began
    resource.prlimit(instance.process.pid, resource.RLIMIT_NOFILE, before)
    assert command.wait(10) == 0, instance.log()
    command.stdout.close()
    command.stderr.close()
    # Ten attempts in a second instead of as many as possible, and one line.
    assert int(more[1]) <= 10 * lasted + 10, instance.log()
    assert instance.log().count("cannot accept") <= lasted + 2, instance.log()
    instance.upgrade()
    instance.stop()


def test_descriptors_are_kept_for_the_operator(moult, port):
    """Silent clients use every other descriptor: status and stop still work."""
    instance = moult().run(command=waiter("g1", port))

    def numbers():
        return [int(name) for name in os.listdir(f"/proc/{instance.process.pid}/fd")]
    clients = []
    while len(numbers()) != max(numbers()) + 1:  # gaps
        count = len(numbers())
        clients += silent_clients(instance, 1)
        wait_until(lambda count=count: len(numbers()) > count, 5, instance.log)
    limit_descriptors(instance, max(numbers()) + 1)
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
def test_no_directory_for_the_control_socket(moult, port, directory, verb, variables, words):
    """An ordinary user is told which directories were tried, and which variable to set."""
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


def control(instance, *datagrams):
    """Sends the messages to the control socket unchanged; returns the answer to the last one."""
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
def test_garbage_on_the_control_socket_is_refused(moult, load, port, datagram):
    """The answer is status 2, or nothing.  The daemon serves on, and the next upgrade works."""
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


def test_a_hundred_silent_clients_do_not_delay_an_upgrade(moult, port):
    instance = moult().run(command=waiter("g1", port))
    silent = silent_clients(instance, 100)
    instance.upgrade()
    assert instance.status()["upgrades"]["completed"] == 1
    for connection in silent:
        connection.close()
    instance.stop()


def test_another_user_is_not_answered(moult, port, directory):
    """Even if the modes of the files let that user connect: the launcher checks the peer's uid."""
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
