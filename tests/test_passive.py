# SPDX-License-Identifier: MIT
"""Listeners that a daemon opens for one client: the passive mode of FTP, forwarded ports."""

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
    """A control connection, and the port that the client is told to use."""

    def __init__(self, port):
        self.control = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.lines = self.control.makefile()

    def ask(self, port=0, word="passive"):
        """The port that the client is told to connect to."""
        self.control.sendall(f"{word} {port}\n".encode())
        word, number = self.lines.readline().split(maxsplit=1)
        assert word == "PORT", number
        return int(number)

    def fetch(self, port):
        """The tag that answers at that port."""
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
def test_a_client_that_was_told_a_port_before_the_upgrade_connects_after_it(moult, port, model):
    """Once, and once more later."""
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


def test_two_generations_choose_different_ports_of_one_range(moult, port):
    """As behind a firewall."""
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
def test_the_launcher_forgets_a_passive_listener_with_its_client(moult, port, model):
    instance = moult().run(command=passive("g1", model, port))
    with client_of(port) as client:
        for _ in range(300):
            assert client.fetch(client.ask()) == "g1"
        assert [row["address"] for row in instance.status()["listeners"]] == [
            f"tcp:127.0.0.1:{port}"]
    assert "closed" not in instance.log()
    instance.stop()


def test_a_listener_of_a_worker_is_no_passive_listener(moult, port):
    """A process that was started at the request of a client, but serves everybody, keeps its port
    for the next generation."""
    instance = moult().run(command=passive("g1", "fork", port))
    number = network.new_port()
    with client_of(port) as client:
        client.ask(number, "worker")
        wait_until(lambda: f"tcp:127.0.0.1:{number}" in [
            row["address"] for row in instance.status()["listeners"]], 10, instance.log)
    assert network.ask(number, question=b"").startswith("GEN g1 ")
    instance.stop("--now")
