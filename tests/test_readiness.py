# SPDX-License-Identifier: MIT
"""--ready: when a generation counts as ready, and what happens if it never is ready."""

import os
import re
import signal
import socket
import time

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask
from harness.waiter import waiter
from harness.waiting import wait_until


@pytest.mark.parametrize("ready, options", [
    ("notify", ("--notify", "--ready-after=600")),
    ("fd=7", ("--ready-fd=7", "--ready-after=600")),
], ids=["notify", "fd"])
def test_no_switch_before_the_daemon_says_that_it_is_ready(moult, load, port, ready, options):
    """Even if the daemon already waits for connections."""
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
def test_an_upgrade_that_is_never_ready_fails(moult, load, port, ready):
    """After --ready-timeout the upgrade fails, and says for what it has waited."""
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


def test_a_first_generation_that_is_never_ready(moult, port):
    """No earlier generation could serve: the log says so, the daemon goes on, and can be
    stopped."""
    instance = moult().run("--ready-timeout=300ms", wait=False,
                           command=waiter("g1", port, "--fail=hang"))
    instance.wait_log(r"generation 1: not ready after 300 ms")
    assert instance.tagged("g1")
    instance.stop("--now")
    assert not processes.descendants()


def test_notify_socket_is_not_set_unasked(moult, port, directory):
    """Its presence alone changes the behaviour of some daemons."""
    path = directory / "mirror.out"
    instance = moult().run(command=[program("mirror"), "--tag", "g1", "--port", port, "--output",
                                    path])
    assert "NOTIFY_SOCKET" not in path.read_text()
    instance.stop()


def test_only_the_daemon_can_say_that_it_is_ready(moult, port, directory):
    """The launcher ignores a datagram from a process outside the generation."""
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


PADDED = """
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(("\\0" + os.environ["NOTIFY_SOCKET"][1:]).ljust(108, "\\0"))
    notify.send(b"READY=1")
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_an_address_with_the_rest_of_its_field_is_heard(moult, port):
    """sshd and named connect to all of sun_path: for a name without a file another address."""
    instance = moult().run("--ready=notify", command=[
        "/usr/bin/python3", "-c", PADDED, *waiter("g1", port)])
    assert ask(port).startswith("GEN g1 ")
    instance.stop()


BLOCKS = """
import array, os, socket, struct, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
print("connected", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
if os.fork() == 0:
    server = socket.create_server(("127.0.0.1", 0))
    connection = socket.create_connection(server.getsockname())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2**31 - 1))
    connection.setblocking(False)
    try:
        while True:
            connection.send(b"x" * 65536)
    except BlockingIOError:
        pass
    notify.sendmsg([b"STATUS=hello"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                        array.array("i", [connection.fileno()]))])
    if os.fork() == 0:  # the other end stays, and reads nothing
        os.set_inheritable(server.fileno(), True)
        os.execl("/bin/sleep", "sleep", "1000")
    os._exit(0)
os.wait()
print("sent", flush=True)
time.sleep(1000)
"""


def test_a_message_with_a_connection_that_nobody_can_close(moult, port, directory):
    """The last descriptor of the connection is in the message.  It holds up its own generation,
    which is not ready in time, and not the launcher."""
    go = directory / "go"
    instance = moult().run(command=waiter("g1", port))
    upgrade = instance.start_command("upgrade", instance.name, "--ready=notify",
                                     "--ready-timeout=3s", "--", "/usr/bin/python3", "-c", BLOCKS,
                                     str(go))
    instance.wait_log("(?m)^connected$")
    readers = [process.pid for process in processes.descendants()
               if processes.name(process.pid) in ("moult", "moult-notify")]
    for pid in readers:
        os.kill(pid, signal.SIGSTOP)
    go.touch()
    instance.wait_log("(?m)^sent$")
    for pid in readers:
        os.kill(pid, signal.SIGCONT)
    before = time.monotonic()
    instance.status()
    assert time.monotonic() - before < 2
    upgrade.communicate(timeout=20)
    assert upgrade.returncode == 1
    assert ask(port).startswith("GEN g1 ")
    instance.upgrade("--ready=serving", command=waiter("g2", port))
    instance.wait_alone()
    instance.stop()


BARRIER = """
import array, os, socket, sys, time
print("asks", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
if os.fork() == 0:
    if os.fork():
        os._exit(0)  # its child is the keeper's then, which reaps it
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
    mine, theirs = os.pipe()
    notify.send(b"READY=1")
    notify.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     array.array("i", [theirs]))])
    os.close(theirs)
    print("sent", flush=True)
    os.read(mine, 1)
    os._exit(0)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_sender_that_exits_after_its_barrier_is_heard(moult, port, directory):
    """As systemd-notify does.  The launcher is stopped until after the messages."""
    go = directory / "go"
    instance = moult().run("--ready=notify", wait=False, command=[
        "/usr/bin/python3", "-c", BARRIER, str(go), *waiter("g1", port)])
    instance.wait_log("(?m)^asks$")
    instance.signal(signal.SIGSTOP)
    go.touch()
    instance.wait_log("(?m)^sent$")
    time.sleep(0.1)  # a reader that does not wait closes the barrier in this time
    instance.signal(signal.SIGCONT)
    instance.wait_serving()
    instance.stop()
