# SPDX-License-Identifier: MIT
"""One daemon, tried: under load, three good upgrades, one that fails, and a last one, after which
its files are looked at.

Across each upgrade connections are held: idle ones, half a request, a stalled download.  What is
wrong is an AssertionError; what was lost, and how long clients waited, is in the trial afterwards.
"""

import contextlib
import io
import os
import pathlib
import re
import socket

from catalogue.held import Held
from harness import build, network, processes, programs
from harness.daemons import Setting
from harness.load import Load, assert_nothing_lost, assert_switches
from harness.moult import Moult
from harness.questions import Questions
from harness.waiting import wait_until

MOST_ANSWERS = 20


class Trial:
    """run() does it; close() leaves nothing, whatever has happened before."""

    def __init__(self, daemon, directory, port):
        self.daemon = daemon
        self.setting = Setting(directory, port)
        self.instance = Moult(directory, "daemon")
        self.answers = min(daemon.rate, MOST_ANSWERS)  # that many before it goes on
        self.client = self.held = self.result = None
        self.status = None  # at the end
        self.options = daemon.run(self.setting) if callable(daemon.run) else daemon.run
        self.overlaps = "--no-overlap" not in self.options
        self.persistent = daemon.persistent if self.overlaps and not daemon.questions else 0
        self.tags, self.switched = [], []

    def run(self):
        self.daemon.prepare(self.setting)
        self.instance.run(*self.options, command=self._command("g1"),
                          wait=not self.daemon.refused)
        self.tags.append("g1")
        self._wait_for_the_port()
        self._start_load()
        if self.daemon.refused:
            self._refused()
        else:
            for tag in ("g2", "g3", "g4"):
                self._good(tag)
            self._failing()
            self._last("g5")
        self.status = self.instance.status()
        self.result = self.client.stop()
        assert_nothing_lost(self.result)
        assert_switches(self.result, [self.daemon.tag(tag) for tag in self.tags], self.switched)
        self.instance.stop()
        left = processes.descendants()
        assert not left, f"left after the stop: {left}\n{self.instance.log()}"

    def close(self):
        if self.held:
            self.held.close()
        try:
            if self.client and not self.result:  # it says what was lost before it failed
                self.result = self.client.stop()
        finally:
            if self.client:
                self.client.close()
            self.instance.close()

    # -- the parts --

    def _wait_for_the_port(self):
        """One that listens on more is ready with the first of it."""
        host, _, port = self.daemon.address(self.setting).rpartition(":")
        stream = not self.daemon.questions or any(
            question.kind == socket.SOCK_STREAM for question in self.daemon.questions)
        if port == str(self.setting.port) and stream:
            wait_until(lambda: network.listens(host, self.setting.port) or
                       network.listens("0.0.0.0", self.setting.port) or
                       network.listens("::", self.setting.port), 30, self.instance.log)

    def _command(self, tag):
        return self.daemon.command(self.setting, tag)

    def _start_load(self):
        daemon = self.daemon
        if daemon.questions:
            self.client = Questions(("127.0.0.1", self.setting.port), daemon.questions,
                                    daemon.rate)
            self.client.wait_answers(self.answers)
            return
        self.client = Load(daemon.address(self.setting), rate=daemon.rate,
                           persistent=self.persistent, persistent_every=50,
                           **daemon.load(self.setting))
        self.client.wait(lambda report: report["answered"] >= self.answers and
                         report["persistent"]["answered"] >= self.persistent,
                         deadline=20, reason="no first answers")

    def _hold(self):
        """The queue is served in order: when later ones have their answers these are accepted."""
        if self.overlaps:
            self.held = Held(self.daemon, self.setting)
            if self.daemon.half or self.daemon.download:
                self.client.wait_answers(self.answers)

    def _finish_held(self, tag):
        if self.held:
            self.held.finish(tag)
        self.held = None

    def _refused(self):
        def answer():
            """Some are found out only when they listen; until then it is starting."""
            result = self.instance.command("upgrade", "daemon", "--", *self._command("g2"))
            return result.returncode != 75 and result
        result = wait_until(answer, 10, "it is starting for ever", pause=0.2)
        assert result.returncode == 1, f"ended with {result.returncode}: {result.stderr}"
        assert self.daemon.refused in result.stderr, f"another reason: {result.stderr}"
        self.client.wait_answers(self.answers, self.daemon.tag("g1"))
        check = self.instance.command("check", *self._command("g2"))
        assert check.returncode == int(self.daemon.foretold), (
            f"check says otherwise: {check.stdout}{check.stderr}")

    def _good(self, tag):
        """The old one finishes what it has, and nothing of it is left when it has."""
        before, old = self.tags[-1], self._processes()
        self._hold()
        self.switched.append(self.instance.upgrade(command=self._command(tag)).instant)
        self.tags.append(tag)
        self.client.wait_answers(self.answers, self.daemon.tag(tag))
        self._finish_held(before)
        if self.persistent:
            says_tag = self._old_keeps_what_it_has(before)
            self.client.renew()
            if says_tag:
                self._wait_for_idle_ones(self.daemon.tag(tag))
        if self.daemon.questions and tag != "g5":  # which stay for some seconds anyway
            return
        self.instance.wait_alone(20)
        wait_until(lambda: not old & self._processes(), 10,
                   lambda: f"processes of the old generation are left: {old & self._processes()}")
        assert self._processes(), "no process of the new generation"

    def _wait_for_idle_ones(self, tag):
        """On a busy machine some are in the queue still."""
        self.client.wait(lambda report: report.persistent_tags.get(tag, {"open": 0})["open"] ==
                         self.persistent, deadline=20,
                         reason=f"not {self.persistent} idle connections with {tag}")

    def _old_keeps_what_it_has(self, tag):
        """False: this protocol's idle connections are told nothing that has the tag in it."""
        tag = self.daemon.tag(tag)
        had = self.client.report().persistent_tags.get(tag)
        if not had:
            return False
        assert had["open"] == self.persistent, (
            f"of {self.persistent} idle connections {had['open']} are left")
        if not self.daemon.load(self.setting).get("mode") == "banner":
            self.client.wait(lambda report: report.persistent_tags[tag]["answered"] >=
                             had["answered"] + self.persistent,
                             reason="the old generation does not answer on old connections")
        return True

    def _failing(self):
        tag, ours, pid = self.tags[-1], self._processes(), self._pid()
        self._hold()
        result = self.instance.upgrade(command=self.daemon.failing(self.daemon, self.setting),
                                       expect=1)
        if self.overlaps:
            assert re.search("still serves|serves again", result.stderr), result.stderr
            assert self._pid() == pid, f"the pid file was {pid}, and is {self._pid()}"
        self.client.wait_answers(self.answers, self.daemon.tag(tag))
        self._finish_held(tag)
        self._nothing_else_is_left()
        generations = self.instance.status()["generations"]
        assert generations[0]["state"] == "current", generations
        if self.overlaps:
            assert ours & self._processes(), "the current generation has lost its processes"

    def _nothing_else_is_left(self):
        """A keeper is there as long as anything of its generation is, and nothing escapes them."""
        launcher = self.instance.process.pid
        known = len(self.instance.status()["generations"])
        keepers = [p for p in processes.descendants(launcher)
                   if p.parent == launcher and processes.name(p.pid) == "moult-keeper"]
        assert len(keepers) <= known, f"{keepers} for {known} generations"
        found = self._processes()
        escaped = {p for p in found - {q.pid for q in processes.descendants(launcher)}
                   if processes.alive(p)}
        assert not escaped, f"{escaped} have escaped"

    def _last(self, tag):
        log = self.daemon.log(self.setting)
        with contextlib.ExitStack() as stack:  # it may rotate it
            file = stack.enter_context(open(log, "rb")) if log else io.BytesIO()
            before = file.read()
            self._good(tag)
            file.seek(0)
            after = file.read()
        if log:
            assert len(before) > 0 and after.startswith(before), (
                f"{log} had {len(before)} bytes, and now has {len(after)}")
        for path in self.daemon.sockets(self.setting):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(str(path))
        if self.daemon.pid_file(self.setting):
            pid = self._pid()
            assert pid in self._processes(), f"the pid file names {pid}, {self._processes()} live"

    # -- what there is --

    def _pid(self):
        """What the pid file begins with; None without one."""
        path = self.daemon.pid_file(self.setting)
        if not path:
            return None
        number = re.match(r"\s*(\d+)", pathlib.Path(path).read_text())
        assert number, f"{path} names no process"
        return int(number[1])

    def _processes(self):
        """The daemon's, by pid."""
        ours = {str(build.MOULT), str(build.LOAD)}
        return {process.pid for process in processes.descendants()
                if process.command[:1] and process.command[0] not in ours
                and process.pid != os.getpid() and not programs.is_client(process.pid)}
