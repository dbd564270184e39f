# SPDX-License-Identifier: MIT
"""A launcher that is held in one state of an upgrade or a restart, for as long as a test needs."""

import contextlib
import os
import resource
import signal
import subprocess

from harness import build, processes
from harness.stopper import Stopper
from harness.waiting import wait_until

NOBODY = 65534


def once(file, command):
    """That command begins when the file exists."""
    return ["sh", "-c", 'until test -e "$0"; do sleep 0.01; done; exec "$@"', str(file),
            *map(str, command)]


def unless(file, command):
    """That command fails with status 7 while the file exists."""
    return ["sh", "-c", 'test ! -e "$0" || exit 7; exec "$@"', str(file), *map(str, command)]


def while_exists(file, command):
    """That command begins when the file does not exist any more."""
    return ["sh", "-c", 'while test -e "$0"; do sleep 0.01; done; exec "$@"', str(file),
            *map(str, command)]


def begin_upgrade(instance, command, *options):
    """Starts an upgrade that takes a while; returns it when its generation has been started."""
    number = 1 + max([generation["id"] for generation in instance.status()["generations"]] or [0])
    upgrade = instance.start_command("upgrade", instance.name, *options, "--", *map(str, command))
    instance.wait_log(rf"generation {number}: started")
    return upgrade


def keeper_of(instance, number):
    """The pid of that generation's keeper process."""
    pid = processes.parent(instance.generation(number)["pid"])
    assert processes.name(pid) == "moult-keeper"
    return pid


@contextlib.contextmanager
def without_end(instance, number):
    """No end of that generation is seen inside, for its keeper is stopped: it reaps no process."""
    keeper = keeper_of(instance, number)
    os.kill(keeper, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(keeper, signal.SIGCONT)


@contextlib.contextmanager
def at_the_switch(instance, gates=2):
    """Stops the launcher when it has changed that many gates; the body makes a generation ready.

    Returns before the launcher starts the time of the probation.  Use resume() then.
    """
    stopper = Stopper(instance.process.pid, gates, "stop", "futex")
    try:
        yield
        wait_until(lambda: stopper.is_over, 10, instance.log)
        assert stopper.result()[:1] == ["hit"], instance.log()
    finally:
        stopper.close()


def resume(instance, *numbers):
    """Continues a stopped launcher, which then finds these signals."""
    for number in numbers:
        instance.signal(number)
    instance.signal(signal.SIGCONT)


@contextlib.contextmanager
def without_processes(instance):
    """The launcher, which must be of the user NOBODY, can start no process inside."""
    def limit(value):  # as that user, for root may lack CAP_SYS_RESOURCE
        subprocess.run(["prlimit", f"--pid={instance.process.pid}", f"--nproc={value}:"],
                       check=True, user=NOBODY, group=NOBODY, extra_groups=[])
    before = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limit(1)
    try:
        yield
    finally:
        if instance.process.poll() is None:
            limit("unlimited" if before == resource.RLIM_INFINITY else before)


def assert_ends(instance, status):
    """The launcher ends with that status, and no process of its generations is left."""
    assert instance.wait_ended() == status, instance.log()
    assert_none_left(instance)


def assert_none_left(instance):
    """No daemon and no keeper; clients of the test and commands of the operator do not count."""
    own = [str(build.LOAD)], [str(build.MOULT), "upgrade"], [str(build.MOULT), "stop"]
    left = [process for process in processes.descendants()
            if process.command[:1] not in own and process.command[:2] not in own]
    assert not left, f"{left}\n{instance.log()}"


def hold(connect, instance, where, number):
    """A client that keeps that generation draining later."""
    client = connect(int(where)).ask()
    client.answer()
    instance.wait_generation(number, lambda generation: generation["connections"] == 1)
    return client


# Closes its listener at SIGUSR1 and finishes its connections, as nginx does at SIGQUIT.
CLOSES = """
import selectors, signal, socket, sys
tag, port = sys.argv[2], int(sys.argv[3])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)

def close(*_):
    selector.unregister(listener)
    listener.close()
    print(tag, "has closed its listener", file=sys.stderr, flush=True)

signal.signal(signal.SIGUSR1, close)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            selector.register(listener.accept()[0], selectors.EVENT_READ)
        elif key.fileobj.recv(100):
            key.fileobj.sendall(f"GEN {tag}\\n".encode())
        else:
            selector.unregister(key.fileobj)
            key.fileobj.close()
"""


def closes(tag, port):
    return ["/usr/bin/python3", "-c", CLOSES, "--tag", tag, str(port)]
