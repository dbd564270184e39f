# SPDX-License-Identifier: MIT
"""Clients of protocols that the load client does not speak.

Like the load client, they ask on a fixed schedule, whatever happens to earlier questions.  Each
question has a socket of its own, which stays open for a while after the answer, to see whether a
second answer comes.
"""

import contextlib
import os
import select
import socket
import threading
import time

from harness.waiting import wait_until

PATIENCE = 5.0  # the time after which a resolver asks again
LINGER = 0.3


class Lost(Exception):
    """A question without its answer.  The reason is one of the load client's words."""


class Question:
    """One question, asked when the object is made.  step() reads; it returns the tag of the
    answer."""

    kind = socket.SOCK_DGRAM

    def __init__(self, address, number):
        self.address, self.number = address, number
        self.socket = socket.socket(socket.AF_INET, self.kind | socket.SOCK_NONBLOCK)
        self.started = time.monotonic_ns()
        self.tag = self.ended = None
        self.ask()

    def ask(self):
        raise NotImplementedError

    def step(self):
        raise NotImplementedError

    def again(self):
        """Is called for data after the answer."""
        raise Lost("duplicate")


class Result(dict):
    """A report with the fields that the checks of harness.load read."""

    def __init__(self, answered, in_flight, losses, tags, longest):
        super().__init__(answered=answered, in_flight=in_flight, persistent={"in_flight": 0},
                         latency_ms={"max": longest})
        self.losses, self.tags = losses, tags

    def explain(self):
        return f"{self['answered']} answered, lost {self.losses}, {self.tags}"


class Questions:
    """Asks RATE a second, of these kinds in turn, until stop()."""

    def __init__(self, address, kinds, rate):
        self.address, self.kinds, self.rate = address, kinds, rate
        self.answered, self.losses, self.tags, self.failure = 0, {}, {}, None
        self.longest = 0.0  # ms
        self.open, self.done = {}, threading.Event()
        self.poll = select.epoll()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def wait_answers(self, count=50, tag=None):
        """Waits until that many more answers have come (of that tag)."""
        def answers():
            return self.tags.get(tag, {"answered": 0})["answered"] if tag else self.answered
        before = answers()

        def enough():
            assert self.failure is None, self.failure
            return answers() >= before + count
        wait_until(enough, 10, lambda: f"no answers: {self._result().explain()}")

    def stop(self):
        """Asks no more, waits for the answers that are due, and returns the result."""
        self.close()
        assert self.failure is None, self.failure
        return self._result()

    def close(self):
        self.done.set()
        self.thread.join()

    def _result(self):
        return Result(self.answered, len(self.open), dict(self.losses), dict(self.tags),
                      self.longest)

    def _run(self):
        try:
            self._ask_and_listen()
        except Exception as error:  # shown where the test waits
            self.failure = error
        for question in self.open.values():
            question.socket.close()
        self.poll.close()

    def _ask_and_listen(self):
        begun, asked = time.monotonic(), 0
        while self.open or not self.done.is_set():
            due = begun + asked / self.rate
            while not self.done.is_set() and due <= time.monotonic():
                self._start(self.kinds[asked % len(self.kinds)](self.address, asked))
                asked += 1
                due = begun + asked / self.rate
            for fd, _ in self.poll.poll(max(0.001, min(due - time.monotonic(), 0.02))):
                self._readable(self.open[fd])
            self._expire()

    def _start(self, question):
        self.open[question.socket.fileno()] = question
        self.poll.register(question.socket, select.EPOLLIN)

    def _readable(self, question):
        try:
            with contextlib.suppress(BlockingIOError):
                tag = question.again() if question.tag else question.step()
                if tag:
                    self._answer(question, tag)
        except Lost as loss:
            self._lose(question, str(loss))
        except ConnectionRefusedError:
            self._lose(question, "refused")
        except OSError as error:
            self._lose(question, os.strerror(error.errno))

    def _answer(self, question, tag):
        question.tag, question.ended = tag, time.monotonic()
        self.answered += 1
        self.longest = max(self.longest, 1000 * question.ended - question.started / 1e6)
        entry = self.tags.setdefault(tag, {"answered": 0, "last_started_ns": 0})
        entry["answered"] += 1
        entry["last_started_ns"] = max(entry["last_started_ns"], question.started)
        if question.kind == socket.SOCK_STREAM:
            self._end(question)

    def _lose(self, question, loss):
        self.losses[loss] = self.losses.get(loss, 0) + 1
        self._end(question)

    def _end(self, question):
        self.open.pop(question.socket.fileno())
        question.socket.close()  # epoll forgets it

    def _expire(self):
        now = time.monotonic()
        for question in list(self.open.values()):
            if question.ended and now - question.ended > LINGER:
                self._end(question)
            elif not question.ended and now - question.started / 1e9 > PATIENCE:
                self._lose(question, "timed_out")
