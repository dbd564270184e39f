# SPDX-License-Identifier: MIT
"""Runs the load client and reads its reports; load/account.h says what the client counts."""

import json
import os
import selectors
import subprocess
import time

from harness import build
from harness.waiting import wait_until

LOSSES = ("refused", "reset", "cut", "timed_out", "wrong", "duplicate", "error", "overflow")


class Result(dict):
    """A report of the load client; tags by name, in the order of their first answer."""

    def __init__(self, text):
        super().__init__(json.loads(text))
        self.tags = {tag["tag"]: tag for tag in self["tags"]}
        self.persistent_tags = {tag["tag"]: tag for tag in self["persistent"]["tags"]}

    @property
    def losses(self):
        """The losses of both kinds of connections, without the zeros."""
        found = {loss: self[loss] for loss in LOSSES if self[loss]}
        for loss in LOSSES:
            if self["persistent"][loss]:
                found[f"persistent {loss}"] = self["persistent"][loss]
        return found

    def explain(self):
        lines = [f"started {self['started']}, answered {self['answered']}, lost {self.losses}, "
                 f"latency {self['latency_ms']}, client's own delay {self['lag_max_ms']} ms"]
        for kind, tags in (("", self.tags), ("persistent ", self.persistent_tags)):
            for name, tag in tags.items():
                lines.append(f"  {kind}{name}: {tag['answered']} answers, started "
                             f"{tag.get('first_started_ms')} to {tag.get('last_started_ms')} ms")
        lines += [f"  {failure}" for failure in self["failures"]]
        return "\n".join(lines)


class Load:
    """One running load client.  `address` is "HOST:PORT", another form of load/address.h, or a
    list."""

    def __init__(self, address, **options):
        addresses = [address] if isinstance(address, str) else address
        command = [str(build.LOAD), "--control"] + [f"--address={a}" for a in addresses]
        if build.SANITISER and options.get("rate"):  # every fork and thread is slower
            options["rate"] = min(options["rate"], 120)
        command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.started = time.monotonic_ns()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.buffer = b""
        self.last = None

    def _command(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def _line(self, deadline=20.0):
        end = time.monotonic() + deadline
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                assert selector.select(end - time.monotonic()), "the load client says nothing"
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                assert data, f"the load client ended: {self.process.stderr.read().decode()}"
                self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        self.last = Result(line)
        return self.last

    def report(self):
        """Returns a report of everything until now."""
        self._command("report")
        return self._line()

    def renew(self):
        """Ends the persistent connections in order and opens as many new ones."""
        self._command("renew")

    def close_persistent(self):
        self._command("close")

    def wait(self, condition, deadline=10.0, reason=""):
        """Waits until condition(report) is true; returns that report."""
        def check():
            return condition(self.report()) and self.last
        return wait_until(check, deadline, lambda: f"{reason}\n{self.last.explain()}", pause=0.03)

    def wait_answers(self, count=50, tag=None):
        """Waits until that many more answers have come (of that tag)."""
        def answers(report):
            return report.tags.get(tag, {"answered": 0})["answered"] if tag else report["answered"]
        before = answers(self.report())
        return self.wait(lambda report: answers(report) >= before + count, reason="no answers")

    def stop(self):
        """Ends in order and returns the result."""
        if self.process.stdin.closed:
            return self.last
        self._command("stop")
        while self._line()["kind"] != "result":
            pass
        self.close()
        return self.last

    def close(self):
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)


def assert_nothing_lost(result):
    assert result["answered"] > 0, f"no answers at all\n{result.explain()}"
    assert not result.losses, f"lost: {result.losses}\n{result.explain()}"
    assert result["in_flight"] == 0 and result["persistent"]["in_flight"] == 0


def assert_switches(result, tags, switched):
    """Each of `tags` answered, in this order, and none after `upgrade` to the next had returned.

    `switched` are the instants (monotonic, ns) at which the upgrades returned; a connection
    counts at the instant at which it was started.
    """
    assert list(result.tags) == list(tags), result.explain()
    for old, instant in zip(tags, switched):
        late = (result.tags[old]["last_started_ns"] - instant) / 1e6
        assert late < 0, f"{old} answered {late} ms after the upgrade\n{result.explain()}"


def assert_lost_only_with(result, deaths):
    """Only connections that a daemon had accepted when it was killed were lost.

    `deaths` are pairs of instants (monotonic, ns): before the kill, and when it was dead.  Clients
    that were queued, or came while no daemon ran, have waited and were answered.
    """
    kinds = {loss.removeprefix("persistent ") for loss in result.losses}
    assert kinds <= {"cut", "reset"}, result.explain()
    for failure in result["failures"]:
        ended = failure["started_ns"] + failure["after_ms"] * 1e6
        assert any(before <= ended and failure["started_ns"] <= dead for before, dead in deaths), (
            f"{failure}\n{deaths}\n{result.explain()}")
