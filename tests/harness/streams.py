# SPDX-License-Identifier: MIT
"""Long-lived streams with numbered messages, in a process of their own (stream_clients.py)."""

import json
import pathlib
import selectors
import subprocess
import sys

from harness.waiting import wait_until

PATIENCE = 20.0
CLIENTS = pathlib.Path(__file__).with_name("stream_clients.py")


class Streams:
    """Streams of one kind ("lines", "websocket" or "grpc") to a port of 127.0.0.1.

    A record of a stream has `tag` (the generation that serves it), `received`, `sent`, `ended` and
    `loss`.  The loss is "" if the stream has lost nothing until now.
    """

    def __init__(self, kind, port):
        self.process = subprocess.Popen(
            [sys.executable, str(CLIENTS), kind, str(port)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.count = 0

    def _ask(self, words):
        self.process.stdin.write(words + "\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(PATIENCE), f"the streams do not answer to {words!r}"
        line = self.process.stdout.readline()
        assert line, f"the streams ended: {self.process.stderr.read()}"
        return json.loads(line)

    def report(self):
        """The records of all streams, in the order in which they were opened."""
        return self._ask("report")

    def open(self, count, tag):
        """Opens that many more; returns when each has messages from the generation `tag`."""
        self._ask(f"open {count}")
        self.count += count
        records = []

        def served():
            records[:] = self.report()[-count:]
            assert not losses(records), f"lost: {records}"
            return all(record["received"] > 2 for record in records)
        wait_until(served, PATIENCE, lambda: f"streams without messages: {records}",
                   pause=0.05)
        assert {record["tag"] for record in records} == {tag}, records

    def wait_messages(self, count=3):
        """Waits until each stream has received that many more messages, and has sent as many."""
        before, now = self.report(), []

        def all_have():
            now[:] = self.report()
            assert not losses(now), f"lost: {now}"
            return all(new[what] >= old[what] + count
                       for new, old in zip(now, before) for what in ("received", "sent"))
        wait_until(all_have, PATIENCE, lambda: f"streams without messages: {now}",
                   pause=0.05)

    def finish(self):
        """Lets all streams end by themselves; returns their records."""
        self._ask("finish")
        records = []

        def ended():
            records[:] = self.report()
            return all(record["ended"] for record in records)
        wait_until(ended, PATIENCE, lambda: f"streams that do not end: {records}", pause=0.05)
        return records

    def close(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def losses(records):
    """What was lost, a word for each stream: empty if every stream has all of its messages."""
    return [record["loss"] for record in records if record["loss"]]
