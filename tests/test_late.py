# SPDX-License-Identifier: MIT
"""Threads that sleep in epoll_wait before the listener is created and registered there."""

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask, ask_unix
from harness.waiting import wait_until

MODELS = ["level", "edge", "exclusive", "edge-exclusive", "level-poll", "edge-exclusive-poll",
          "level-dup", "edge-exclusive-dup-poll"]


def late(tag, model, *more):
    return [program("late"), "--tag", tag, f"--model={model}", *more]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("model", MODELS)
def test_threads_asleep_before_the_bind_count_as_waiting(moult, port, model, threads):
    """No event would end their wait.  The generation becomes ready, and the threads get the
    connections."""
    def command(tag):
        return late(tag, model, f"--port={port}", f"--threads={threads}")
    instance = moult().run("--ready-timeout=10s", command=command("g1"))
    for tag in ("g2", "g3"):
        instance.upgrade(command=command(tag))
        for _ in range(5):
            assert ask(port).startswith(f"GEN {tag} ")
    instance.wait_alone()
    assert "not ready" not in instance.log()  # as the first one may be, and goes on
    instance.stop()


@pytest.mark.parametrize("model", MODELS)
def test_three_upgrades_lose_nothing(moult, load, port, model):
    tags = ["g1", "g2", "g3", "g4"]

    def command(tag):
        return late(tag, model, f"--port={port}")
    instance = moult().run("--ready-timeout=10s", command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=600, persistent=3, persistent_every=30)
    client.wait_answers(50)
    switched = []
    for tag in tags[1:]:
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(50, tag)
        client.renew()
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, tags, switched)
    instance.wait_alone()
    instance.stop()
    assert not processes.descendants(), instance.log()


@pytest.mark.parametrize("model", ["level", "edge-exclusive"])
def test_a_unix_listener_registered_while_threads_sleep(moult, directory, model):
    path = directory / "socket"

    def command(tag):
        return late(tag, model, f"--unix={path}", "--habit=unlink-first")
    instance = moult().run("--ready-timeout=10s", command=command("g1"))
    for tag in ("g2", "g3"):
        instance.upgrade(command=command(tag))
        for _ in range(5):
            assert ask_unix(path).startswith(f"GEN {tag} ")
    instance.stop()


@pytest.mark.parametrize("model", ["level", "edge-exclusive"])
def test_an_additional_address_registered_while_threads_sleep(moult, port, model):
    """The listener of the new version is registered before it listens, and its threads wake up
    when it does."""
    instance = moult().run("--ready-timeout=10s", command=late("g1", model, f"--port={port}"))
    instance.upgrade(command=late("g2", model, f"--port={port}", "--host=0.0.0.0"))
    for _ in range(5):
        assert ask(port).startswith("GEN g2 ")
    instance.stop()


@pytest.mark.parametrize("model", ["level-poll", "edge-poll", "exclusive-poll",
                                   "edge-dup-poll"])
def test_a_thread_that_slept_through_another_wait_sees_the_switch(moult, port, directory, model):
    """Another thread waited for something else meanwhile and does not wait any more, so only the
    sleeper can notice the switch."""
    flag, output = directory / "flag", directory / "output"
    instance = moult().run_ready_by(flag, port, late("g1", model, f"--port={port}"))
    for tag in ("g2", "g3"):
        upgrade = instance.start_command("upgrade", instance.name, "--", *late(
            tag, model, f"--port={port}", f"--output={output}"))
        wait_until(output.exists, 10, instance.log)
        flag.touch()
        assert upgrade.wait(20) == 0, instance.log()
        for _ in range(5):
            assert ask(port).startswith(f"GEN {tag} ")
        flag.unlink()
        output.unlink()
    instance.stop()
