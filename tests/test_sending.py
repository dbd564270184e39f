# SPDX-License-Identifier: MIT
"""A datagram server that may not receive any more can still send, and is told when it can."""

import os
import signal

import pytest

from harness.build import program
from harness.load import assert_nothing_lost
from harness.waiting import wait_until


def sender(tag, port, model, *more):
    return [program("sender"), "--tag", tag, f"--model={model}", f"--port={port}", *more]


@pytest.mark.parametrize("model", ["level", "edge", "oneshot", "poll"])
def test_a_server_that_may_not_receive_is_told_that_it_can_send(moult, load, port, directory, model):
    """Twenty waits for both events while the next generation gets questions all the time.  Each
    wait reports that sending is possible, and none reports a question.  A wait for questions only
    is not woken."""
    output = directory / "output"
    instance = moult().run(command=sender(
        "g1", port, model, f"--output={output}", f"--ignore-signal={int(signal.SIGTERM)}"))
    client = load(f"udp:127.0.0.1:{port}", rate=400)
    client.wait_answers(50)
    instance.upgrade(command=sender("g2", port, model))
    client.wait_answers(50, "g2")
    (old,) = instance.tagged("g1")
    os.kill(old.pid, signal.SIGUSR1)
    wait_until(lambda: "done" in output.read_text(), 10, instance.log)
    client.wait_answers(client.report().tags["g2"]["answered"] + 200, "g2")
    os.kill(old.pid, signal.SIGUSR2)
    wait_until(lambda: "end" in output.read_text(), 10, instance.log)
    lines = output.read_text().split()
    assert lines[:21] == ["out"] * 20 + ["done"]
    assert lines[21:].count("woken") == 0, lines[21:]
    assert_nothing_lost(client.stop())
    instance.stop("--now")
