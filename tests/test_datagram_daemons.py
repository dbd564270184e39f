# SPDX-License-Identifier: MIT
"""Real daemons from Debian that serve datagrams, unmodified, upgraded under load."""

import dataclasses
import re
import signal
import subprocess
from collections.abc import Callable

import pytest

from harness import dns, processes, tftp
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches
from harness.questions import Questions

pytestmark = pytest.mark.daemons

TAGS = ["g1", "g2", "g3", "g4"]


def dnsmasq(*more):
    def command(setting, tag):
        return ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null",
                "--pid-file", "--no-resolv", "--no-hosts", f"--port={setting.port}",
                f"--txt-record=gen.test,GEN {tag}", *more]
    return command


def nsd(reuseport):
    def command(setting, tag):
        setting.fill_in("nsd.zone", tag)
        return ["/usr/sbin/nsd", "-d", "-c",
                setting.fill_in("nsd.conf", tag, REUSEPORT=reuseport)]
    return command


def unbound(setting, tag):
    return ["/usr/sbin/unbound", "-d", "-c", setting.fill_in("unbound.conf", tag)]


def tftpd(setting, tag):
    """A process, and a socket, for each transfer.  No host: without a network it resolves none."""
    directory = setting.directory / tag
    directory.mkdir(exist_ok=True)
    (directory / "file").write_bytes(tftp.content(tag))
    return ["/usr/sbin/in.tftpd", "-4", "-L", "--address", f":{setting.port}", "--secure",
            str(directory)]


@dataclasses.dataclass(frozen=True)
class Daemon:
    name: str
    command: Callable
    kinds: tuple = (dns.Udp, dns.Udp, dns.Tcp)
    rate: int = 400


DAEMONS = [
    Daemon("dnsmasq", dnsmasq()),
    Daemon("dnsmasq-bind-interfaces", dnsmasq("--listen-address=127.0.0.1", "--bind-interfaces")),
    Daemon("nsd", nsd("no")),
    Daemon("nsd-reuseport", nsd("yes")),
    Daemon("unbound", unbound),
    Daemon("tftpd", tftpd, (tftp.Transfer,), 40),
]


@pytest.mark.parametrize("daemon", DAEMONS, ids=lambda daemon: daemon.name)
def test_three_upgrades_lose_nothing(moult, started, directory, port, daemon):
    """Each question is answered, once and rightly, by the generation whose turn it was."""
    setting = Setting(directory, port)
    instance = moult(daemon.name).run(command=daemon.command(setting, "g1"))
    client = Questions(("127.0.0.1", port), daemon.kinds, daemon.rate)
    started.append(client)
    client.wait_answers(30)
    switched = []
    for tag in TAGS[1:]:
        switched.append(instance.upgrade(command=daemon.command(setting, tag)).instant)
        client.wait_answers(30, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.stop("--now")
    assert not processes.descendants(), instance.log()


@pytest.mark.parametrize("command", [dnsmasq(), unbound], ids=["dnsmasq", "unbound"])
def test_a_tool_for_measurements_misses_nothing(moult, directory, port, command):
    """From one socket, 2000 questions a second, until it is told to end and to report."""
    setting = Setting(directory, port)
    questions = directory / "questions"
    questions.write_text("gen.test TXT\n")
    instance = moult("server").run(command=command(setting, "g1"))
    with subprocess.Popen(["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions),
                           "-Q", "2000", "-l", "60"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as client:
        try:
            for number, tag in enumerate(TAGS[1:], 1):
                instance.wait_generation(number, lambda g: g["datagrams"] >= 100)
                instance.upgrade(command=command(setting, tag))
            instance.wait_generation(len(TAGS), lambda g: g["datagrams"] >= 100)
        finally:
            client.send_signal(signal.SIGINT)
        report = client.stdout.read()
    assert re.search(r"Queries completed: +[1-9]", report), report
    assert re.search(r"Queries lost: +0 ", report), report
    assert re.search(r"Response codes: +NOERROR \d+ \(100.00%\)", report), report
    instance.stop("--now")
