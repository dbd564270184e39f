# SPDX-License-Identifier: MIT
"""Listeners that a daemon opens for one of its clients: FTP's passive mode, forwarded ports."""

import contextlib
import socket

import pytest

from harness import network
from harness.build import program
from harness.waiting import wait_until

MODELS = ["fork", "threads"]


def passive(tag, model, port):
    return [program("passive"), "--tag", tag, f"--model={model}", f"--port={port}"]


class Client:
    """A control connection, and what it is sent to."""

    def __init__(self, port):
        self.control = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.lines = self.control.makefile()

    def ask(self, port=0, word="passive"):
        """The port it is to connect to."""
        self.control.sendall(f"{word} {port}\n".encode())
        word, number = self.lines.readline().split(maxsplit=1)
        assert word == "PORT", number
        return int(number)

    def fetch(self, port):
        """Who answers there."""
        answer = network.ask(port, question=b"")
        assert answer.startswith("GEN "), answer
        return answer.split()[1]

    def close(self):
        self.lines.close()
        self.control.close()


@contextlib.contextmanager
def client_of(port):
    client = Client(port)
    yield client
    client.close()


@pytest.mark.parametrize("model", MODELS)
def test_a_client_on_its_way_arrives(moult, port, model):
    """It has been told the port before an upgrade, and connects after it; and once more, later."""
    instance = moult().run(command=passive("g1", model, port))
    for number, tag in enumerate(("g2", "g3"), 1):
        with client_of(port) as client:
            assert client.fetch(client.ask()) == f"g{number}"
            told = client.ask()
            instance.upgrade(command=passive(tag, model, port))
            with client_of(port) as other:
                assert other.fetch(other.ask()) == tag
            instance.wait_generation(number, lambda old: old["connections"] == 1)
            assert client.fetch(told) == f"g{number}"
            assert client.fetch(client.ask()) == f"g{number}"
        instance.wait_gone(number)
    instance.stop()


def test_a_port_that_is_taken_stays_so(moult, port):
    """Two generations choose from one range, as behind a firewall: neither gets the other's."""
    instance = moult().run(command=passive("g1", "fork", port))
    with client_of(port) as old:
        number = network.new_port()
        told = old.ask(number)
        instance.upgrade(command=passive("g2", "fork", port))
        with client_of(port) as new, pytest.raises(AssertionError, match="in use"):
            new.ask(number)
        assert old.fetch(told) == "g1"
    instance.stop()


@pytest.mark.parametrize("model", MODELS)
def test_they_are_no_burden(moult, port, model):
    """Each is gone with its client: the launcher keeps none, nor the memory of one."""
    instance = moult().run(command=passive("g1", model, port))
    with client_of(port) as client:
        for _ in range(300):
            assert client.fetch(client.ask()) == "g1"
        assert [row["address"] for row in instance.status()["listeners"]] == [
            f"tcp:127.0.0.1:{port}"]
    assert "closed" not in instance.log()
    instance.stop()


def test_a_worker_is_none(moult, port):
    """A process that a client has asked for, but without him, serves everybody: its port is kept
    for the next generation's."""
    instance = moult().run(command=passive("g1", "fork", port))
    number = network.new_port()
    with client_of(port) as client:
        client.ask(number, "worker")
        wait_until(lambda: f"tcp:127.0.0.1:{number}" in [
            row["address"] for row in instance.status()["listeners"]], 10, instance.log)
    assert network.ask(number, question=b"").startswith("GEN g1 ")
    instance.stop("--now")
