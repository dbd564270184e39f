# SPDX-License-Identifier: MIT
"""The launcher is killed or stopped at any moment: some generation goes on accepting.

A sweep: the launcher does something (an upgrade, a stop), and is hit right before the N-th of its
system calls since then.  The tests try a sample of the numbers; with MOULT_SWEEP=1, all numbers.
"""

import contextlib
import os
import signal
import socket
import threading

import pytest

from harness import build, contract, processes
from harness.build import program
from harness.network import ask, new_port
from harness.stopper import Stopper
from harness.waiting import wait_until

EPOLL = ("waiter", "--wait=epoll", "--nonblocking")
POOL = ("acceptor", "--model=pool")
# One file description, and two wishes for O_NONBLOCK: the accepting generation's wish counts.
PAIRS = ((EPOLL, POOL), (POOL, EPOLL), (EPOLL, EPOLL))


def daemon(tag, ports, words, *more):
    return [program(words[0]), "--tag", tag, *words[1:], *map(str, more),
            *(f"--port={port}" for port in ports)]


def numbers(last, stride):
    return range(1, last + 1, 1 if os.environ.get("MOULT_SWEEP") else stride)


def is_served(port):
    """Does a new connection get an answer?  An answer that does not come at once never comes."""
    with contextlib.suppress(OSError):
        with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
            connection.settimeout(4)
            connection.sendall(b"hello\n")
            return connection.recv(100).startswith(b"GEN ")
    return False


def tags(instance):
    return [tag for tag in ("g1", "g2", "g3") if instance.tagged(tag)]


def await_service(instance, ports, deadline=8):
    for port in ports:
        wait_until(lambda: is_served(port), deadline,
                   lambda: f"nobody serves {port}; {tags(instance)} live\n{instance.log()}")


def await_service_or_end(instance, ports, deadline=8):
    """Any daemon that is alive must serve."""
    for port in ports:
        wait_until(lambda: is_served(port) or not tags(instance), deadline,
                   lambda: f"nobody serves {port}; {tags(instance)} live\n{instance.log()}")


class Sweep:
    """An instance whose launcher is hit at that call."""

    def __init__(self, instance, started, ports, number, how, more):
        self.instance, self.started, self.ports = instance, started, ports
        self.number, self.how, self.more = number, how, more
        self.only = ()  # which calls
        self.command = self.guest = None
        self.commands = {f"g{n + 1}": daemon(f"g{n + 1}", ports, words, *more)
                         for n, words in enumerate(PAIRS[number % len(PAIRS)])}

    def hits(self, *words, act=None):
        """Runs the action with the launcher traced.  False: it was over before the call."""
        stopper = Stopper(self.instance.process.pid, self.number, self.how, *self.only)
        self.started.append(stopper)
        if act:
            act()
        else:
            self.command = self.instance.start_command(*words)
        if self.guest:
            wait_until(lambda: stopper.is_over or "draining, 1" in self.instance.log(), 20)
            self.guest.close()
        return self.await_hit(stopper)

    def is_over(self):
        """Is nothing going on in the launcher any more?"""
        if self.command:
            return self.command.poll() is not None
        return "serves again" in self.instance.log()

    def await_hit(self, stopper):
        wait_until(lambda: stopper.is_over or self.is_over(), 40, self.instance.log)
        words = stopper.result()
        print("sweep:", self.number, *words, tags(self.instance))
        hit = words[:1] == ["hit"]
        if hit and self.how == "kill":
            if self.command:
                self.command.kill()
                self.command.communicate()
            self.instance.wait_ended()
        elif not hit and self.command:
            self.command.communicate()
        return hit


@pytest.fixture
def sweep(moult, port, started):
    """sweep(NUMBER, "kill" or "stop", words for the daemon): a Sweep that serves."""
    def make(number, how, *more):
        two = PAIRS[number % len(PAIRS)] == (EPOLL, EPOLL)
        s = Sweep(moult(), started, [port, new_port()] if two else [port], number, how, more)
        s.instance.run(command=s.commands["g1"])
        return s
    return make


def end_in_turn(s):
    """Ends one generation after the other; any that is left with the listeners serves."""
    order = ("g1", "g2") if s.number % 2 else ("g2", "g1")
    for tag in order:
        if len(tags(s.instance)) < 2:
            break
        processes.kill([process.pid for process in s.instance.tagged(tag)])
        await_service_or_end(s.instance, s.ports)


def assert_goes_on(s):
    """After it is continued, the launcher makes upgrades and stops as usual."""
    s.instance.signal(signal.SIGCONT)
    s.command.communicate(timeout=40)
    assert s.command.returncode in (0, 1), s.instance.log()
    s.instance.status()
    s.instance.upgrade(*(["--no-overlap"] if s.more else []),
                       command=daemon("g3", s.ports, EPOLL, *s.more))
    s.instance.wait_alone()
    assert tags(s.instance) == ["g3"]
    for port in s.ports:
        assert ask(port).startswith("GEN g3 ")


# ---- one moment each ----

def ask_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError):
            client.send("hello 1 {}:{}\n".format(*client.getsockname()).encode())
            return client.recv(100).decode()
    return ""


def ask_tcp(port):
    return ask(port) if is_served(port) else ""


def is_nonblocking(pid):
    """The flag of the process's first socket, which listens."""
    fd = min(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")
             if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"))
    with open(f"/proc/{pid}/fdinfo/{fd}") as file:
        flags = next(line.split()[1] for line in file if line.startswith("flags:"))
    return bool(int(flags, 8) & os.O_NONBLOCK)


DATAGRAMS = ("datagram", "--wait=epoll", "--receive=recvfrom", "--nonblocking")
READERS = ("datagram", "--wait=block", "--receive=recvmsg")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("words, next_words, asks", [
    (EPOLL, POOL, ask_tcp), (POOL, EPOLL, ask_tcp), (DATAGRAMS, READERS, ask_udp),
    (READERS, DATAGRAMS, ask_udp)])
def test_the_old_generation_ends_while_the_next_one_starts_without_a_launcher(moult, port, directory, how, words,
                                                      next_words, asks):
    """The next generation has taken over the listener and waits for its gate, but no launcher can
    open the gate."""
    instance = moult().run(command=daemon("g1", [port], words))
    flag = directory / "flag"
    upgrade = instance.start_command("upgrade", instance.name, f"--ready=exec=test -e {flag}",
                                     "--", *daemon("g2", [port], next_words))
    wait_until(lambda: any(row["adopted"] for row in instance.status()["listeners"]), 10,
               instance.log)
    instance.signal(how)
    if how == signal.SIGKILL:
        instance.wait_ended()
        upgrade.communicate()
    # A process that has never accepted asks the launcher for its slot, and waits for an answer.
    wait_until(lambda: asks(port).startswith("GEN g1 "), 10, instance.log)
    processes.kill([process.pid for process in instance.tagged("g1")])
    wait_until(lambda: asks(port).startswith("GEN g2 "), 10, instance.log)
    process, = instance.tagged("g2")
    assert is_nonblocking(process.pid) == ("--nonblocking" in next_words)
    if how == signal.SIGKILL:
        processes.end_all()
        return
    instance.signal(signal.SIGCONT)
    flag.touch()
    assert upgrade.wait(20) in (0, 1), instance.log()
    upgrade.communicate()
    wait_until(lambda: asks(port).startswith("GEN g2 "), 10, instance.log)
    instance.stop("--now")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_no_call_of_the_daemon_waits_for_a_dead_launcher(moult, port, directory, how):
    """Each call that asks the launcher returns within the time in which an answer would come."""
    where = directory / "at"
    where.mkdir()
    instance = moult().run(command=["/usr/bin/python3", build.DAEMONS / "asker.py", "g1", port,
                                    where])
    pid = instance.status()["generations"][0]["pid"]
    instance.signal(how)
    os.kill(pid, signal.SIGUSR1)
    instance.wait_log("g1: done: listen\n", 9)  # MOULT_REPLY_SECONDS for both, and a busy machine
    for name in ("shutdown", "close", "bind unix", "listen unix", "rename", "unlink",
                 "bind udp", "connect udp", "connect", "exec", "fork"):
        instance.wait_log(f"g1: done: {name}\n", 9)
    assert "Error" not in instance.log()
    await_service(instance, [port])
    if how == signal.SIGKILL:
        instance.wait_ended()
        processes.end_all()
    else:
        instance.signal(signal.SIGCONT)
        instance.stop("--now")


def test_a_stopped_launcher_is_waited_for_once(moult, port, directory):
    """One process waits in vain; the next processes of the generation then wait only briefly.

    Of four children, only the first one waits for five seconds.
    """
    instance = moult().run(command=["/usr/bin/python3", build.DAEMONS / "asker.py", "g1", port,
                                    directory])
    pid = instance.status()["generations"][0]["pid"]
    instance.signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGUSR2)
    instance.wait_log("g1: child 4 is done\n", 18)  # four times six, if each process waited
    await_service(instance, [port])
    instance.signal(signal.SIGCONT)
    instance.stop("--now")


@contextlib.contextmanager
def busy_launcher(seconds):
    """The value of MOULT for a launcher whose queue is full, and has room after a while."""
    with (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server,
          socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first):
        name = f"moult-test-{os.getpid()}"
        server.bind("\0" + name)
        server.listen(0)
        first.connect("\0" + name)
        taken = []
        timer = threading.Timer(seconds, lambda: taken.append(server.accept()))
        timer.start()
        yield f"{contract.CONTRACT}:1:{'0' * 32}:{os.getpid()}:{os.getuid()}:{name}"
        timer.join()


def test_a_question_has_one_deadline_for_all_its_parts(plain):
    """Four seconds until there is room, and never an answer: together five seconds, not nine."""
    with busy_launcher(4) as variable:
        alone = plain(["/bin/true"], preload=build.LIBRARY, MOULT=variable)
        assert alone.process.wait(7) == 0


@pytest.mark.parametrize("words", [EPOLL, POOL])
def test_a_launcher_that_is_continued_completes_the_switch(moult, port, directory, words):
    """The old generation has closed its gate, and served again while the launcher was stopped; it
    closes the gate again."""
    (directory / "data").touch()
    lock = f"--lock={directory}/data"
    instance = moult().run(command=daemon("g1", [port], words, lock))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as guest:
        guest.sendall(b"hello\n")
        assert guest.recv(100).startswith(b"GEN g1 ")
        upgrade = instance.start_command("upgrade", instance.name, "--no-overlap",
                                         "--drain-timeout=60s", "--",
                                         *daemon("g2", [port], words, lock))
        instance.wait_log("draining, 1 connections")
        instance.signal(signal.SIGSTOP)
        wait_until(lambda: is_served(port), 10, instance.log)
        instance.signal(signal.SIGCONT)
        assert instance.status()["state"] == "starting"
        with socket.create_connection(("127.0.0.1", port), timeout=5) as late:
            late.settimeout(20)
            late.sendall(b"hello\n")
            guest.close()
            assert late.recv(100).startswith(b"GEN g2 ")
    assert upgrade.wait(20) == 0, instance.log()
    upgrade.communicate()
    instance.stop()


def sleeps(pid):
    """How often that process has gone to sleep so far."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith("voluntary_ctxt_switches"))


def test_keepers_sleep(moult, load, port):
    """The keepers of a generation that serves and of one that drains have nothing to poll."""
    instance = moult().run(command=daemon("g1", [port], EPOLL))
    client = load(f"127.0.0.1:{port}", rate=50, persistent=1)
    client.wait_answers(5)
    instance.upgrade(command=daemon("g2", [port], EPOLL))
    client.wait_answers(5, "g2")
    keepers = {processes.parent(instance.tagged(tag)[0].pid) for tag in ("g1", "g2")}
    before = {pid: sleeps(pid) for pid in keepers}
    client.wait_answers(80)
    assert {pid: sleeps(pid) for pid in keepers} == before
    client.stop()
    instance.stop()


# ---- an upgrade ----

def upgraded(s, load):
    """Hits a launcher in an upgrade under load, and checks what has to be true afterwards."""
    client = load(f"127.0.0.1:{s.ports[0]}", rate=100)
    client.wait_answers(5)
    if not s.hits("upgrade", s.instance.name, "--wait", "--", *s.commands["g2"]):
        client.stop()
        s.instance.stop()
        return
    await_service(s.instance, s.ports)
    if s.how == "stop":
        assert_goes_on(s)
    result = client.stop()
    assert not result.losses, result.explain()
    if s.how == "stop":
        s.instance.stop()  # and nothing is left (conftest.py)
        return
    end_in_turn(s)
    processes.end_all()


@pytest.mark.parametrize("number", numbers(126, 9))
def test_the_launcher_is_killed_in_an_upgrade(sweep, load, number):
    """No client is refused, reset or kept waiting.  Whichever generation ends then, the other one
    serves."""
    upgraded(sweep(number, "kill"), load)


@pytest.mark.parametrize("number", numbers(126, 14))
def test_the_launcher_is_stopped_in_an_upgrade(sweep, load, number):
    """After some seconds a generation serves, no client is lost, and the launcher goes on where it
    was."""
    upgraded(sweep(number, "stop"), load)


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_launcher_is_hit_when_a_gate_changes(sweep, load, how, number):
    """At the first message of the next generation, and at each step of the switch: the word is set,
    but no thread is woken."""
    s = sweep(number, how)
    s.only = ("futex",)
    upgraded(s, load)


# ---- --no-overlap ----

@pytest.fixture
def alone(sweep, directory):
    """The same with daemons that cannot run twice; one of them has a client for a while."""
    (directory / "data").touch()

    def make(number, how):
        s = sweep(number, how, f"--lock={directory}/data")
        guest = socket.create_connection(("127.0.0.1", s.ports[0]), timeout=5)
        guest.sendall(b"hello\n")
        assert guest.recv(100).startswith(b"GEN g1 ")
        s.guest = guest
        return s
    return make


def in_turn(s):
    return s.hits("upgrade", s.instance.name, "--no-overlap", "--wait", "--", *s.commands["g2"])


@pytest.mark.parametrize("number", numbers(160, 15))
def test_the_launcher_is_killed_while_no_generation_serves(alone, number):
    """The old generation drains, is told to stop, or is gone, and the next one is starting.
    Whichever lives serves."""
    s = alone(number, "kill")
    if in_turn(s):
        await_service_or_end(s.instance, s.ports)
        processes.end_all()


@pytest.mark.parametrize("number", numbers(160, 20))
def test_the_launcher_is_stopped_while_no_generation_serves(alone, number):
    """As if the launcher were killed, for as long as it is stopped."""
    s = alone(number, "stop")
    if in_turn(s):
        await_service_or_end(s.instance, s.ports)
        assert_goes_on(s)
        s.instance.stop()


# ---- the end, and crashes ----

@pytest.mark.parametrize("number", numbers(40, 6))
@pytest.mark.parametrize("how", ["drain", "--now"])
def test_the_launcher_is_killed_in_a_stop(sweep, how, number):
    """The daemon serves as if no stop had been asked for, or it ends."""
    s = sweep(number, "kill")
    if s.hits("stop", s.instance.name, *([how] if how == "--now" else [])):
        await_service_or_end(s.instance, s.ports)
        processes.end_all()


@pytest.mark.parametrize("number", numbers(40, 8))
def test_the_launcher_is_stopped_in_a_stop(sweep, number):
    """Continued, the launcher ends the generations that it has begun to end."""
    s = sweep(number, "stop")
    if s.hits("stop", s.instance.name):
        s.instance.signal(signal.SIGCONT)
        s.command.communicate(timeout=40)
        s.instance.wait_ended()


@pytest.mark.parametrize("number", numbers(40, 8))
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_launcher_is_hit_when_the_current_generation_crashes(sweep, how, number):
    """The generation before it still has a client, and serves again."""
    s = sweep(number, how)
    with socket.create_connection(("127.0.0.1", s.ports[0]), timeout=5) as guest:
        guest.sendall(b"hello\n")
        assert guest.recv(100).startswith(b"GEN g1 ")
        s.instance.upgrade(command=s.commands["g2"])
        victims = [process.pid for process in s.instance.tagged("g2")]
        if not s.hits(act=lambda: processes.kill(victims)):
            return
        await_service(s.instance, s.ports)
        guest.sendall(b"hello\n")
        assert guest.recv(100).startswith(b"GEN g1 ")
    if how == "stop":
        s.command = s.instance.start_command("status", s.instance.name)
        assert_goes_on(s)
        s.instance.stop()
    else:
        processes.end_all()
