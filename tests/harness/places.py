# SPDX-License-Identifier: MIT
"""Addresses that a generation binds and serves step by step (programs/stages.c)."""

import pytest

from harness import network
from harness.build import program
from harness.waiting import wait_until

KINDS = ["tcp", "unix", "udp"]


class Place:
    """An address, with the files that make a generation bind it and serve there."""

    def __init__(self, directory, kind="tcp", name="place"):
        self.kind, self.directory, self.name = kind, directory, name
        self.where = str(directory / name) if kind == "unix" else str(network.new_port())

    def word(self, late="", tag="", *more):
        """The word for stages.  `late` names the steps that wait for step(): "bind", "serve", "bind
        serve"."""
        steps = [f"{step}={self.directory}/{self.name}-{step}-{tag}" for step in late.split()]
        return ",".join([f"{self.kind}:{self.where}", *steps, *more])

    def step(self, step, tag):
        (self.directory / f"{self.name}-{step}-{tag}").touch()

    @property
    def target(self):
        return {"tcp": f"127.0.0.1:{self.where}", "udp": f"udp:127.0.0.1:{self.where}",
                "unix": f"unix:{self.where}"}[self.kind]

    def row(self, instance):
        """The listener's part of the status, or None."""
        for row in instance.status()["listeners"]:
            if row["address"].endswith(self.where):
                return row
        return None

    def wait_with(self, instance, generation):
        wait_until(lambda: (self.row(instance) or {}).get("generation") == generation, 10,
                   lambda: f"{instance.status()}\n{instance.log()}")


def stages(tag, *words):
    return [program("stages"), "--tag", tag, *words]


@pytest.fixture
def places(directory):
    return Place(directory, name="first"), Place(directory, name="second")
