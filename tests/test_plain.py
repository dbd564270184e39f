# SPDX-License-Identifier: MIT
"""Without a launcher the preloaded library changes nothing that a program can see."""

import contextlib
import os
import re
import signal

import pytest

from harness import cases, network, processes
from harness.build import LIBRARY, program
from harness.load import assert_nothing_lost
from harness.network import ask, listens
from harness.waiting import wait_until

PRELOADED = [pytest.param(None, id="plain"), pytest.param(LIBRARY, id="preloaded")]


@pytest.fixture(autouse=True)
def library():
    assert LIBRARY.exists(), f"{LIBRARY} has not been built"


def end(command):
    """Ends every process of that program, like `killall`; the program may have daemonised."""
    def none_left():
        for process in processes.with_words(*command[:3]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        return not processes.with_words(*command[:3])
    wait_until(none_left, 10, "the program does not end")


@pytest.mark.parametrize("case", cases.ALL, ids=cases.ids)
def test_each_program_serves_as_without_the_library(plain, load, case):
    """The kernel is the oracle: the same answers, the same orderly ends, the same exit status."""
    ports = [network.new_port() for _ in range(case.ports)]
    command = case.command("g1", ports)
    ended = []
    for preload in (None, LIBRARY):
        server = plain(command, preload=preload)
        for port in ports:
            for host in case.hosts:
                server.wait_listening(port, host.strip("[]") if "dual" not in case.name else "::")
        client = load(case.addresses(ports), rate=case.rate, persistent=case.persistent,
                      persistent_every=20)
        client.wait(lambda report: report["answered"] >= 100 and
                    report["persistent"]["answered"] >= 2 * case.persistent)
        result = client.stop()
        assert_nothing_lost(result)
        assert list(result.tags) == ["g1"]
        end(command)
        ended.append(server.wait())
        wait_until(lambda: not any(listens("127.0.0.1", p) for p in ports), 5, "still listening")
    assert ended[0] == ended[1]


def mirror(plain, directory, preload, *options, **environment):
    """What mirror.c has recorded, and its exit status."""
    path = directory / "mirror.out"
    server = plain([program("mirror"), "--tag", "x", "--output", path, *options], preload=preload,
                   **environment)
    ended = server.wait()
    text = path.read_text()
    path.unlink()
    return ended, text


@pytest.mark.exact
@pytest.mark.exact
def test_a_program_sees_no_difference(plain, directory):
    """Environment, descriptors, signals, and the results of 90 valid and invalid calls."""
    ended, expected = mirror(plain, directory, None)
    assert ended[0] == 7 and len(expected.splitlines()) > 150
    preloaded, found = mirror(plain, directory, LIBRARY)
    assert preloaded == ended
    # the only difference is what the test itself has put there
    found = found.replace(f"environment LD_PRELOAD={LIBRARY}\n", "")
    assert found.splitlines() == expected.splitlines()


@pytest.mark.exact
def test_a_daemon_with_a_launcher_sees_no_difference(plain, moult, directory, port):
    """The same calls, while all gates are open."""
    path = directory / "mirror.out"
    command = [program("mirror"), "--tag", "x", "--output", path, "--port", port, "--model=calls"]
    texts = []
    server = plain(command).wait_listening(port)
    assert ask(port).startswith("GEN x ")
    server.end()
    texts.append(path.read_text())
    path.unlink()
    instance = moult().run(command=command)
    assert ask(port).startswith("GEN x ")  # so the record is complete
    texts.append(path.read_text())
    instance.stop()
    # the launcher's own: where the test's output goes, and what it is told by
    own = re.compile(r"environment (MOULT_RUNTIME_DIR|PWD)=|descriptor [12]: ")
    plain_lines, lines = ([line for line in text.splitlines() if not own.match(line)]
                          for text in texts)
    assert len(lines) > 250
    assert lines == plain_lines


@pytest.mark.exact
@pytest.mark.parametrize("variable", [
    "", "1", "nonsense", "1:1:short:address", "2:1:" + "0" * 32 + ":nobody-listens-here",
    "1:1:" + "0" * 32 + ":nobody-listens-here", "1:1:" + "0" * 32 + ":" + "x" * 4096,
    "1:-1:" + "g" * 32 + ":", "1:99999999999999999999:" + "0" * 32 + ":a",
])
def test_a_library_without_its_launcher_is_inert(plain, directory, variable):
    """No launcher answers, or the contract is another one."""
    ended, expected = mirror(plain, directory, None)
    preloaded, found = mirror(plain, directory, LIBRARY, MOULT=variable)
    lines = [line for line in found.splitlines()
             if not re.match(r"environment (LD_PRELOAD|MOULT)=", line)]
    assert preloaded[0] == ended[0]
    assert lines == expected.splitlines()


@pytest.mark.exact
@pytest.mark.exact
def test_children_see_no_difference(plain, directory, port):
    """Programs started by fork and exec, vfork, posix_spawn, system and popen."""
    texts = []
    for preload in (None, LIBRARY):
        path = directory / "mirror.out"
        server = plain([program("mirror"), "--tag", "x", "--output", path, "--port", port],
                       preload=preload).wait_listening(port)
        assert ask(port).startswith("GEN x ")  # it serves after they have ended
        server.end()
        child = directory / "mirror.out.child"
        texts.append(without_numbers(child.read_text()).replace(f"LD_PRELOAD={LIBRARY}\n", ""))
        child.unlink()
    assert texts[0].count("fork and exec") == 2 and "popen" in texts[0]
    assert texts[0].splitlines() == texts[1].splitlines()


def without_numbers(text):
    """A listing of descriptors without the inodes and pids that differ from run to run."""
    return re.sub(r":\[\d+\]|/proc/\d+|#\d+", "", text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1,
                                    signal.SIGURG, signal.SIGALRM])
@pytest.mark.parametrize("name, options", [("waiter", ("--wait=epoll",)),
                                           ("acceptor", ("--model=pool",))])
def test_signals_act_as_without_the_library(plain, port, name, options, number):
    """The same signals end the program with the same status; ignored ones stay ignored."""
    ended = []
    for preload in (None, LIBRARY):
        server = plain([program(name), "--tag", "g1", "--port", port, *options], preload=preload)
        server.wait_listening(port)
        server.process.send_signal(number)
        if number == signal.SIGURG:
            server.process.send_signal(signal.SIGTERM)
        ended.append(server.wait())
    assert ended[0] == ended[1]
    assert ended[0][0] == -(signal.SIGTERM if number == signal.SIGURG else number)
