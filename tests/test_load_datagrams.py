# SPDX-License-Identifier: MIT
"""The load client sees each datagram that is lost, doubled or answered wrongly."""

import contextlib
import socket
import threading

import pytest

from harness.build import program
from harness.load import assert_nothing_lost


class DatagramServer:
    """Sends, for the words of each question, the list of answers that `behaviour` returns."""

    def __init__(self, listener, behaviour):
        self.socket, self.behaviour, self.ended = listener, behaviour, False
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self._loop)
        self.thread.start()

    def _loop(self):
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                question, peer = self.socket.recvfrom(1000)
                for answer in self.behaviour(question.split()[1]):
                    self.socket.sendto(answer, peer)

    def close(self):
        self.ended = True
        self.thread.join()
        self.socket.close()


def right(number, tag=b"g1"):
    return b"GEN %s 1 %s\n" % (tag, number)


@pytest.fixture(params=["udp", "dgram"])
def datagrams(request, started, directory, port):
    """datagrams(BEHAVIOUR): a server of either kind, and its address for the load client."""
    def make(behaviour):
        if request.param == "udp":
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.bind(("127.0.0.1", port))
            address = f"udp:127.0.0.1:{port}"
        else:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            listener.bind(f"{directory}/socket")
            address = f"dgram:{directory}/socket"
        started.append(DatagramServer(listener, behaviour))
        return address
    return make


def test_datagrams(datagrams, load):
    client = load(datagrams(lambda number: [right(number)]), rate=500)
    client.wait_answers(200)
    assert_nothing_lost(client.stop())


@pytest.mark.parametrize("behaviour, loss", [
    (lambda number: [right(number)] * (1 + (int(number) % 50 == 0)), "duplicate"),
    (lambda number: [right(number), right(number, b"g2")], "duplicate"),
    (lambda number: [right(number)] * (int(number) % 50 != 0), "timed_out"),
    (lambda number: [right(b"7%s" % number)], "wrong"),
    (lambda number: [b"GEN g1 1\n"], "wrong"),
    (lambda number: [right(number) + b"and more"], "wrong"),
], ids=["every-50th-twice", "by-two", "every-50th-not", "another-number", "no-number", "more"])
def test_each_loss_of_a_datagram_is_seen(datagrams, load, behaviour, loss):
    client = load(datagrams(behaviour), rate=500, timeout=200)
    client.wait(lambda report: report[loss] >= 4, reason=loss)
    result = client.stop()
    assert set(result.losses) == {loss}, result.explain()


def test_a_refused_datagram_is_seen(load, port):
    client = load(f"udp:127.0.0.1:{port}", rate=200)
    client.wait(lambda report: report["refused"] >= 10)
    result = client.stop()
    assert set(result.losses) == {"refused"}, result.explain()


@pytest.mark.parametrize("kind", ["udp", "dgram"])
def test_a_plain_restart_loses_datagrams(plain, load, directory, port, kind):
    name = f"127.0.0.1:{port}" if kind == "udp" else f"{directory}/socket"
    where = f"--port={port}" if kind == "udp" else f"--unix={name}"
    command = [program("datagram"), "--wait=epoll", where, "--start-delay=150",
               "--habit=unlink-first", "--tag"]
    old = plain(command + ["g1"])
    client = load(f"{kind}:{name}", rate=600, timeout=500)
    client.wait(lambda report: "g1" in report.tags)
    before = client.wait_answers(100)["refused"]
    old.end()
    plain(command + ["g2"])
    client.wait(lambda report: "g2" in report.tags and report.tags["g2"]["answered"] >= 100)
    result = client.stop()
    assert result["refused"] >= before + 10, result.explain()
