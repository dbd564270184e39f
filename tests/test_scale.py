# SPDX-License-Identifier: MIT
"""Many connections: an upgrade counts them, keeps them all, and ends when they have ended."""

import pytest

from harness.build import program
from harness.multitude import Multitude
from harness.network import ask

CONNECTIONS = 30000


@pytest.fixture
def multitude(started):
    def make(port, count):
        connections = Multitude(port, count)
        started.append(connections)
        return connections
    return make


def test_an_upgrade_with_30000_idle_connections(moult, port, multitude):
    """All of them are still answered by the old generation, which ends when they have ended."""
    def command(tag):
        return [program("multitude"), "--tag", tag, "--nonblocking", "--backlog=4096",
                "--processes=3", "--port", str(port)]

    instance = moult().run("--drain-timeout=100s", command=command("g1"))
    connections = multitude(port, CONNECTIONS)
    assert instance.generation(1)["connections"] == CONNECTIONS
    instance.upgrade(command=command("g2"))
    assert ask(port).split()[:2] == ["GEN", "g2"]
    old = instance.generation(1)
    assert (old["state"], old["connections"]) == ("draining", CONNECTIONS)
    assert instance.generation(2)["connections"] == 0
    connections.ask("g1")
    connections.close_some(CONNECTIONS // 2)
    instance.wait_generation(1, lambda old: old and old["connections"] == CONNECTIONS // 2)
    connections.ask("g1")
    connections.close_some(connections.count)
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    assert ask(port).split()[:2] == ["GEN", "g2"]
    instance.stop()
