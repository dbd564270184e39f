# SPDX-License-Identifier: MIT
"""Compromised processes of a daemon, and users who have no part in the daemon.

The launcher checks what they send.  They harm at most the generation that they belong to.
"""

import errno
import os
import pathlib
import re
import signal
import subprocess

import pytest

from harness import build, processes
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.waiting import wait_until

HOSTILE = pathlib.Path(__file__).parent / "hostile"
PYTHON = "/usr/bin/python3"
pytestmark = [
    pytest.mark.daemons,
    pytest.mark.skipif(os.geteuid() != 0, reason="the worker gives up root"),
]


class Hostile:
    """The daemon with its worker.  self.out() returns what the attack has printed."""

    def __init__(self, moult, directory, port):
        self.moult, self.directory, self.port = moult, directory, port
        self.instance = None

    def command(self, tag, *attack, port=None):
        words = [PYTHON, HOSTILE / "daemon.py", "--tag", tag, port or self.port, self.directory]
        if attack:
            words += [HOSTILE / attack[0], *attack[1:]]
        return [str(word) for word in words]

    def run(self, *attack, options=(), tag="g1"):
        self.instance = self.moult("hostile")
        self.instance.run(*options, command=self.command(tag, *attack))
        return self.instance

    def out(self):
        path = self.directory / "worker" / "out"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, pattern="^end$", deadline=30):
        return wait_until(lambda: re.search(pattern, self.out(), re.M), deadline,
                          lambda: f"the attack has not come to {pattern!r}:\n{self.out()}\n"
                                  f"{self.instance.log()}")

    def lines(self):
        return dict(line.split(" ", 1) for line in self.out().splitlines() if " " in line)

    def upgrade(self, tag="g2", *attack, options=(), port=None, expect=0):
        return self.instance.upgrade(
            *options, command=self.command(tag, *attack, port=port), expect=expect)

    def who(self):
        return ask(self.port).split()[1]


@pytest.fixture
def hostile(moult, directory, port):
    return Hostile(moult, directory, port)


@pytest.fixture
def stranger(hostile):
    """stranger("silent", 300): runs to its end, and goes on holding what it has."""
    running = []

    def start(script, *words):
        process = subprocess.Popen([PYTHON, "-u", str(HOSTILE / script), *map(str, words)],
                                   env={**os.environ, "PYTHONPATH": str(HOSTILE.parent)},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def address_of(instance):
    with open("/proc/net/unix") as sockets:
        return re.search(rf"@(moult-{instance.process.pid}-[0-9a-f]+)", sockets.read())[1]


def descriptors(instance):
    return len(os.listdir(f"/proc/{instance.process.pid}/fd"))


def links(instance):
    """The descriptors that the launcher has open, in readable form."""
    table = f"/proc/{instance.process.pid}/fd"
    return sorted(os.readlink(f"{table}/{number}") for number in os.listdir(table))


def test_a_worker_gets_no_listener_that_it_never_had(hostile):
    """A worker asks for the control socket of root and for the TCP service, by each verb that
    gives or names a listener."""
    instance = hostile.run("steal.py")
    hostile.wait()
    answers = hostile.lines()
    given = {name: answer for name, answer in answers.items()
             if name != "end" and answer.endswith(" with")}
    assert not given, hostile.out()
    for name, answer in answers.items():
        if name.startswith(("unlinked", "replace", "shut", "template", "connected", "again",
                            "moved")):
            assert int(answer.split()[0]) < 0, hostile.out()
    assert hostile.who() == "g1"
    hostile.upgrade()
    assert hostile.who() == "g2"
    assert (hostile.directory / "control" / "socket").is_socket()
    assert {listener["address"] for listener in instance.status()["listeners"]} >= {
        f"tcp:127.0.0.1:{hostile.port}", f"unix:{hostile.directory}/control/socket"}


EVERY_VERB = ("hello", "slot", "bind-port", "bind-path", "bind-beside", "calling", "listen", "moved",
              "unlinked", "replace", "removed", "again", "template", "connected", "shut")
OF_ANOTHER = {verb: -errno.EBADF for verb in ("again", "template", "connected", "shut", "moved")}

# What is refused, and how.  BIND without a socket in the answer: the kernel decides, as without us.
REFUSED = {
    # Not a process of the daemon: another user's, and one of root's.
    "stranger": {verb: "gone" for verb in EVERY_VERB},
    "outsider": {verb: "gone" for verb in EVERY_VERB},
    # A process of the daemon that does not know the token; one of an older generation
    # that says it is of the newer one.
    "ignorant": {verb: -errno.EPERM for verb in EVERY_VERB},
    "false": {verb: -errno.EPERM for verb in EVERY_VERB},
    # Has every right, but not the listener's socket.
    "other": {**OF_ANOTHER, **{f"file-{verb}": -errno.EBADMSG
                               for verb in ("again", "template", "connected", "shut")}},
    # Has given up root, and asks for a listener that its own generation does not have.
    "dropped": {"bind-port": 0, "bind-path": 0, "bind-beside": -errno.EADDRINUSE,
                "unlinked": -errno.ENOENT, "replace": -errno.EINVAL, **OF_ANOTHER},
    # Is root, and has the socket; the port is one that only the newer generation has.
    "old": {"bind-port": 0, "bind-beside": -errno.EADDRINUSE, "calling": -errno.ENOENT,
            "listen": -errno.EPERM, "moved": -errno.EPERM, "replace": -errno.EINVAL, "template": 0},
}


@pytest.mark.parametrize("who", REFUSED)
def test_each_verb_checks_the_rights_of_the_sender(hostile, stranger, who):
    """Processes without the right try each row of the table of rights in shim/contract.h."""
    from harness.network import new_port
    other, asked = new_port(), hostile.directory / "worker" / "asked"
    if who == "dropped":
        instance = hostile.run()
        hostile.upgrade("g2", "rights.py", who, hostile.port, port=other,
                        options=[f"--ready=exec=test -e {asked}"])
    elif who in ("old", "false"):
        instance = hostile.run("rights.py", "--root", who, other, options=["--kill-after=20s"])
        hostile.wait("^announced")
        hostile.upgrade("g2", port=other, options=["--retire-after=0s"])
        (hostile.directory / "worker" / "old").touch()
    elif who in ("stranger", "outsider"):
        instance = hostile.run("tell.py")
        hostile.wait()
        process = stranger("rights.py", hostile.lines()["variable"], hostile.port,
                           hostile.directory, who, hostile.port)
        (hostile.directory / "worker" / "out").write_text(process.stdout.read())
    else:
        instance = hostile.run("rights.py", "--root", who, hostile.port)
    hostile.wait()
    answers = hostile.lines()
    for verb, expected in REFUSED[who].items():
        assert answers[verb] == f"{expected} without", f"{verb}\n{hostile.out()}"
    addresses = {listener["address"] for listener in instance.status()["listeners"]}
    assert f"unix:{hostile.directory}/control/socket" in addresses
    if who in ("dropped", "old", "false"):
        hostile.port = other
    assert ask(hostile.port).startswith("GEN ")
    instance.stop()


def test_an_old_generation_gets_no_listener_of_a_newer_one(hostile, port):
    """A worker of the draining generation asks for a port that only the new version has."""
    from harness.network import new_port
    other = new_port()
    instance = hostile.run("old.py", other, options=["--kill-after=20s"])
    hostile.upgrade("g2", port=other, options=["--retire-after=0s"])
    hostile.wait("^given", deadline=40)
    assert re.search(r"^given 0 of 200$", hostile.out(), re.M), hostile.out()
    assert int(hostile.lines()["listen"].split()[0]) < 0, hostile.out()
    instance.wait_gone(1, deadline=30)


def test_a_worker_cannot_write_the_board_and_a_false_tally_loses_no_client(hostile, load):
    """A false count in the tally delays a switch by at most a second."""
    instance = hostile.run("scribble.py", "--inherits", "4", options=["--drain-timeout=6s"])
    hostile.wait("^slot")
    lines = hostile.lines()
    for attempt in ("map", "write", "shrink", "reopen", "shrink-tally"):
        assert lines[attempt].startswith("refused"), hostile.out()
    client = load(f"127.0.0.1:{hostile.port}", rate=50)
    client.wait_answers(20, "g1")
    hostile.upgrade()
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.wait_gone(1)
    assert "given" not in hostile.out()


def test_too_many_listeners_leave_room_for_the_next_generation(hostile):
    """2,500 listeners, and as many that are announced but never come."""
    instance = hostile.run("exhaust.py", "2500")
    hostile.wait(deadline=50)
    assert int(hostile.lines()["kept"]) <= 2048, hostile.out()
    before = descriptors(instance)
    hostile.upgrade(options=["--drain-timeout=1s", "--retire-after=0s"])
    assert hostile.who() == "g2"
    instance.wait_gone(1)
    hostile.upgrade("g3")
    assert hostile.who() == "g3"
    instance.wait_gone(2)
    wait_until(lambda: descriptors(instance) < before / 4, 10,
               lambda: f"{descriptors(instance)} of {before} descriptors are still open")
    assert instance.log().count("more listening sockets than moult can keep") == 1


@pytest.mark.parametrize("how", ["device", "filter"])
def test_socket_options_of_a_hostile_worker_end_with_the_upgrade(hostile, how):
    """The worker binds the socket to a device, or attaches a filter that drops everything.  This
    keeps clients away until the next version, whose socket has neither."""
    subprocess.run(["ip", "link", "add", "other", "type", "dummy"], check=False)
    if how == "device" and not pathlib.Path("/sys/class/net/other").exists():
        make_device("other")
    # If the kernel does not let every user attach a filter, a process of root does so.
    instance = hostile.run("poison.py", "--inherits", "--root", how)
    hostile.wait()
    hostile.upgrade()
    assert hostile.who() == "g2"
    instance.stop()


def make_device(name):
    """Makes a TUN device; this needs no tool."""
    import fcntl
    import struct
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454ca, struct.pack("16sH", name.encode(), 0x1001))
    fcntl.ioctl(device, 0x400454cb, 1)


def test_a_worker_that_announces_binds_all_the_time_delays_nobody(hostile, moult, directory):
    """It announces a UDP port with SO_REUSEPORT again and again."""
    from harness.network import new_port
    udp = new_port()
    instance = hostile.run("again.py", udp)
    hostile.wait()
    server = (f"import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
              f"s.setsockopt(1,15,1); s.bind(('127.0.0.1',{udp}));"
              f"exec(open({str(HOSTILE / 'daemon.py')!r}).read())")
    instance.upgrade("--ready-timeout=10s", command=[
        PYTHON, "-c", server.replace("sys.path.insert", f"__file__={str(HOSTILE / 'x')!r};sys.path.insert")
        .replace("exec(", f"__file__={str(HOSTILE / 'daemon.py')!r}\nexec("),
        "--tag", "g2", str(hostile.port), str(directory)])
    assert hostile.who() == "g2"


@pytest.mark.parametrize("how,count", [("silent", 400), ("noisy", 400), ("lingering", 20)])
def test_connections_of_strangers_to_the_launcher_change_nothing(hostile, stranger, how, count):
    """Any user may connect to its socket: silently, with messages of another contract, and with
    descriptors whose close blocks."""
    instance = hostile.run()
    log = instance.log()
    process = stranger("stranger.py", address_of(instance), how, count)
    assert process.stdout.readline() == "end\n"
    hostile.upgrade()
    assert hostile.who() == "g2"
    assert instance.status()["upgrades"]["completed"] == 1
    said = [line for line in instance.log()[len(log):].splitlines() if "generation" not in line]
    assert not said, said
    instance.stop()


def test_a_close_that_blocks_does_not_delay_a_no_overlap_upgrade(hostile, stranger):
    """No generation accepts meanwhile, so a hanging launcher would be an outage."""
    instance = hostile.run()
    process = stranger("stranger.py", address_of(instance), "lingering", 10)
    assert process.stdout.readline() == "end\n"
    hostile.upgrade(options=["--no-overlap"])
    assert hostile.who() == "g2"
    instance.stop()


def test_another_user_cannot_take_the_place_of_a_dead_launcher(hostile, stranger, directory):
    """A daemon whose launcher was killed binds one more port.  By then another user owns the
    launcher's address."""
    from harness.network import new_port
    other = new_port()
    program = (
        "import signal,socket,sys\n"
        "def serve(port):\n"
        "    s=socket.socket(); s.setsockopt(1,2,1); s.bind(('127.0.0.1',port)); s.listen(9)\n"
        "    return s\n"
        f"first=serve({hostile.port})\n"
        "second=[]\n"
        f"signal.signal(signal.SIGUSR1,lambda *_: second.append(serve({other})))\n"
        "while True:\n"
        "    try: first.accept()\n"
        "    except OSError: pass\n")
    instance = hostile.moult("hostile")
    hostile.instance = instance
    instance.run(command=[PYTHON, "-c", program])
    daemon = instance.generation(1)["pid"]
    address = address_of(instance)
    instance.process.kill()
    instance.process.wait()
    imposter = stranger("imposter.py", address)
    assert imposter.stdout.readline() == "listens\n"
    os.kill(daemon, signal.SIGUSR1)
    wait_until(lambda: listens("127.0.0.1", other), 10, "the daemon does not listen")
    imposter.kill()
    assert imposter.stdout.read() == ""
    processes.kill([daemon])


def test_shared_memory_that_is_too_short_ends_no_program(stranger, plain):
    """A process of another user sends two empty files instead of the memory of the launcher."""
    name = "moult-7-0123456789abcdef"
    imposter = stranger("imposter.py", name)
    assert imposter.stdout.readline() == "listens\n"
    for uid in (0, 65534):  # the variable may name that user
        environment = {**os.environ, "LD_PRELOAD": str(build.LIBRARY),
                       "MOULT": f"4:1:{'0' * 32}:{imposter.pid}:{uid}:{name}"}
        result = subprocess.run(
            [PYTHON, "-c", "import socket; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(1);"
                           "print('listens')"], env=environment, capture_output=True, text=True,
            timeout=30)
        assert result.returncode == 0 and result.stdout == "listens\n", result


@pytest.mark.timeout(120)
def test_random_requests_with_a_valid_token_change_nothing_of_root(hostile, load):
    """Thousands of requests of each verb with numbers, names, descriptors and lengths of all
    kinds, and a tally of random values: the launcher lives, upgrades succeed, clients are served,
    no file of root has changed and no descriptor has leaked."""
    victim = hostile.directory / "victim"
    victim.write_text("secret")
    victim.chmod(0o600)
    instance = hostile.run("everything.py", "--inherits", "12", victim,
                           options=["--drain-timeout=40s", "--kill-after=20s"])
    before = descriptors(instance)
    hostile.wait("^begins")
    hostile.upgrade("g2")
    assert hostile.who() == "g2"
    hostile.wait("^requests", deadline=40)
    client = load(f"127.0.0.1:{hostile.port}", rate=50)
    client.wait_answers(20, "g2")
    hostile.upgrade("g3", options=["--max-draining=1"])
    client.wait_answers(20, "g3")
    assert_nothing_lost(client.stop())
    instance.wait_alone(deadline=30)
    status = victim.stat()
    assert victim.read_text() == "secret" and status.st_mode & 0o7777 == 0o600 and not status.st_uid
    control = (hostile.directory / "control" / "socket").stat()
    assert control.st_mode & 0o7777 == 0o600 and not control.st_uid
    # The launcher's own pokes to datagram sockets stay for a minute.
    wait_until(lambda: descriptors(instance) <= before + 64, 10,
               lambda: f"{links(instance)}\n{before} before\n{instance.log()}")
    assert instance.process.poll() is None
    instance.stop()
