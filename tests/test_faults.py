# SPDX-License-Identifier: MIT
"""Each system call of the launcher fails in turn, and each call at the start of a daemon.

Whatever the upgrade's result, no client is lost, the launcher goes on, and the next upgrade works.
The tests try a sample of the calls; with MOULT_FAULTS=1, every call.
"""

import os
import re

import pytest

from harness import processes
from harness.build import program
from harness.faults import ALL, Allocations, Fault, numbers
from harness.load import assert_nothing_lost
from harness.network import ask
from harness.waiting import wait_until

# A sanitiser's runtime makes calls and allocations of its own, which would fail as well.
pytestmark = [pytest.mark.exact, pytest.mark.timeout(7200 if ALL else 60)]

QUICK = ("--ready-timeout=5s", "--drain-timeout=2s", "--kill-after=200ms")
SET_UP = 60  # calls of a daemon until it serves; a later failure may concern a client
RESERVE = 16  # descriptors that the launcher has now and then


class Served:
    """One instance and its clients, and what must be true after each fault."""

    def __init__(self, moult, load, port, directory, environment=None):
        self.port, self.directory, self.count = port, directory, 0
        self.instance = moult()
        self.instance.environment.update(environment or {})
        self.instance.run(*QUICK, command=self.daemon("g0"))
        self.pid = self.instance.process.pid
        self.load = load(f"127.0.0.1:{port}", rate=100)
        self.load.wait_answers(10)
        self.upgrade_well()
        self.descriptors = self.open()

    def daemon(self, tag, *more):
        return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking",
                "--port", str(self.port), *more]

    def open(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def command(self, words):
        """The command ends in time whatever fails, and gives the reason if it fails."""
        start = len(self.instance.log())
        result = self.instance.command(*words, timeout=30)
        if result.returncode:
            assert result.stderr.strip() or self.instance.log()[start:].strip(), "not a word"
        return result

    def upgrade_well(self):
        self.count += 1
        self.instance.upgrade("--ready=serving", command=self.daemon(f"w{self.count}"))
        assert ask(self.port).split()[1] == f"w{self.count}"
        self.instance.wait_alone()

    def settled(self):
        """All but one generation have ended.  Does not ask the launcher, because the fault is in
        the launcher."""
        return len(self.helpers("moult-keeper")) == 1

    def helpers(self, name):
        return [process.pid for process in processes.descendants(self.pid)
                if process.parent == self.pid and _name(process.pid) == name]

    def helper(self, name):
        """The helper's pid.  A new helper may be about to start."""
        wait_until(lambda: len(self.helpers(name)) == 1, 5, lambda: f"not one {name}")
        return self.helpers(name)[0]

    def check(self, said, result, tag):
        assert self.instance.process.poll() is None, f"{said}: the launcher has ended"
        if result.returncode == 0 and tag:
            assert ask(self.port).split()[1] == tag, said
        self.upgrade_well()
        report = self.load.report()
        assert not report.losses, f"{said}: {report.explain()}"

    def finish(self):
        assert self.open() <= self.descriptors + RESERVE, "descriptors are left"
        assert_nothing_lost(self.load.stop())
        self.instance.stop("--now")


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


# What the launcher does: the words of the upgrade, what the next generation is, how many parts
KINDS = {
    "upgrade": ((), ()),
    "no-overlap": (("--no-overlap", "--drain-timeout=1s"), ()),
    "notify": (("--ready=notify",), ("--notify",)),
    "failing": ((), ("--fail=exit1", "--fail-at=waiting")),
}
PARTS = 2


def upgrades(served, kind, fault, until):
    """fault(N) for one upgrade after the other, until there is no N-th call that could fail."""
    options, more = KINDS[kind]
    for number in until:
        tag = f"n{number}"
        one = fault(number)
        result = served.command(["upgrade", "daemon", *options, "--", *served.daemon(tag, *more)])
        wait_until(served.settled, 10, served.instance.log)
        said = one.end()
        served.check(said, result, tag)
        if said is None:
            break
    served.finish()


QUESTIONS = ("status", "daemon"), ("status", "daemon", "--json"), ("list",)


def questions(served, words, fault, until):
    """Like upgrades(): a question is answered, or refused with a reason, and the next question is
    answered."""
    for number in until:
        one = fault(number)
        served.command(words)
        said = one.end()
        assert served.instance.command(*words).returncode == 0, said
        if said is None:
            break


@pytest.mark.parametrize("kind, part", [(kind, part) for kind in KINDS for part in
                                        range(PARTS if ALL or kind == "upgrade" else 1)])
def test_a_system_call_of_the_launcher_fails_during_an_upgrade(moult, load, port, directory, kind, part):
    served = Served(moult, load, port, directory)
    upgrades(served, kind, lambda number: Fault(served.pid, number, number),
             numbers(part, PARTS if ALL or kind == "upgrade" else 1, 37))


@pytest.mark.parametrize("name, stride", [("moult-broker", 7), ("moult-keeper", 2)])
def test_a_system_call_of_a_helper_fails_during_an_upgrade(moult, load, port, directory, name, stride):
    """In the broker, which reads the requests, and in the keeper of the generation that serves."""
    served = Served(moult, load, port, directory)
    upgrades(served, "upgrade", lambda number: Fault(served.helper(name), number, number),
             numbers(0, 1, stride))


@pytest.mark.parametrize("kind", ["upgrade", "no-overlap"])
def test_an_allocation_of_the_launcher_fails_during_an_upgrade(moult, load, port, directory, kind):
    allocations = Allocations(directory / "allocations")
    served = Served(moult, load, port, directory, allocations.environment)
    upgrades(served, kind, lambda number: allocations.fail(served.pid, number), numbers(0, 1, 13))


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_a_system_call_of_the_launcher_fails_during_a_question(moult, load, port, directory, words):
    served = Served(moult, load, port, directory)
    questions(served, words, lambda number: Fault(served.pid, number, number), numbers(0, 1, 17))
    served.finish()


def test_an_allocation_of_the_launcher_fails_during_a_question(moult, load, port, directory):
    allocations = Allocations(directory / "allocations")
    served = Served(moult, load, port, directory, allocations.environment)
    for words in QUESTIONS:
        questions(served, words, lambda number: allocations.fail(served.pid, number),
                  numbers(0, 1, 5))
    served.finish()


@pytest.mark.parametrize("part", range(2))
def test_a_system_call_of_the_launcher_fails_during_a_stop(moult, port, part):
    """The launcher stops, or says why it does not, and then stops at the next command."""
    for number in numbers(part, 2, 31):
        instance = moult(f"s{number}").run(
            *QUICK, command=[program("waiter"), "--tag", "g1", "--wait=epoll", "--port", str(port)])
        one = Fault(instance.process.pid, number, number)
        result = instance.command("stop", instance.name, timeout=30)
        if result.returncode:
            assert result.stderr.strip()
            if instance.process.poll() is None:
                instance.command("stop", instance.name)
        said = one.end()
        assert instance.wait_ended() in (0, 1), said
        assert not processes.with_words("--tag", "g1"), said
        if said is None:
            break


@pytest.mark.parametrize("part", range(2))
def test_a_system_call_of_the_launcher_fails_at_its_start(moult, port, part):
    """The launcher serves and can be upgraded, or exits with a line that gives the reason, and
    leaves nothing behind."""
    for number in numbers(part, 2, 23):
        instance = moult(f"r{number}")
        instance.run(*QUICK, command=[program("waiter"), "--tag", "g1", "--wait=epoll",
                                      "--port", str(port)],
                     through=(program("fault"), "run", str(number), str(number)), wait=False)

        def known():
            return instance.process.poll() is not None or re.search("ready after", instance.log())
        wait_until(known, 15, instance.log)
        if instance.process.poll() is None:
            # The fault may be that the daemon got no answer: it then runs as without moult.
            upgraded = instance.command("upgrade", instance.name)
            assert upgraded.returncode == 0 or upgraded.stderr.strip()
            assert ask(port).startswith("GEN g1 ")
            stopped = instance.command("stop", instance.name, "--now")
            # ... or that this command could not be taken, which is said, or its answer not be sent.
            assert stopped.returncode == 0 or stopped.stderr.strip()
            if stopped.returncode and instance.process.poll() is None:
                instance.command("stop", instance.name, "--now")
            instance.wait_ended()
        else:
            assert 0 < instance.process.returncode < 128, instance.log()
            assert "moult: " in instance.log()
        wait_until(lambda: not processes.with_words("--tag", "g1"), 5, instance.log)
        if not re.search(r"^\d+ E\w+ \d+ ", instance.log(), re.MULTILINE):
            break


@pytest.mark.parametrize("part", range(2))
def test_a_system_call_of_a_daemon_fails_at_its_start(moult, load, port, directory, part):
    """The failing call is the daemon's own or the library's.  The daemon may fail as it would
    without moult, but does not crash, and the previous generation serves on."""
    served = Served(moult, load, port, directory)
    for number in numbers(part, 2, 13):
        if number > SET_UP:
            break
        tag, start = f"n{number}", len(served.instance.log())
        command = [program("fault"), "run", str(number), str(number), *served.daemon(tag)]
        result = served.command(["upgrade", "daemon", "--", *command])
        wait_until(served.settled, 10, served.instance.log)
        said = served.instance.log()[start:]
        assert "was killed by SIGSEGV" not in said and "exited with status 139" not in said
        served.check(said, result, tag)
    served.finish()
