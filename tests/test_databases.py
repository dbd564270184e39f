# SPDX-License-Identifier: MIT
"""Databases from Debian, unmodified: upgraded with --no-overlap under load."""

import socket

import pytest

from catalogue import stores
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches

DATABASES = [daemon for daemon in stores.DAEMONS if "--no-overlap" in daemon.run]


@pytest.mark.daemons
@pytest.mark.parametrize("local", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("daemon", DATABASES, ids=lambda daemon: daemon.name)
def test_databases_from_debian(moult, load, port, directory, daemon, local):
    """Unmodified, five upgrades under load: each client is answered, some after a while."""
    setting = Setting(directory, port)
    daemon.prepare(setting)
    instance = moult().run(*daemon.run, command=daemon.command(setting, "g1"))
    address = f"unix:{daemon.sockets(setting)[0]}" if local else daemon.address(setting)
    client = load(address, rate=daemon.rate, **daemon.load(setting))
    client.wait_answers(30)
    switched, tags = [], ["g1", "g2", "g3", "g4", "g5", "g6"]
    for tag in tags[1:]:
        switched.append(instance.upgrade(command=daemon.command(setting, tag)).instant)
        client.wait_answers(30, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, tags, switched)
    print(f"{daemon.name}: the longest wait was {result['latency_ms']['max']} ms")
    instance.upgrade(command=daemon.failing(daemon, setting), expect=1)
    client = load(address, rate=daemon.rate, **daemon.load(setting))
    client.wait_answers(30, "g6")
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.daemons
def test_redis_keeps_its_data(moult, load, port, directory):
    """It writes its data when it ends and reads it when it starts, so two at once would
    disagree."""
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir",
               str(directory), "--save", "3600 1", "--daemonize", "no"]
    instance = moult().run("--no-overlap", "--kill-after=1m", command=command)

    def say(words, until):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(words)
            answer = b""
            while not answer.endswith(until):
                data = client.recv(4096)
                assert data, answer
                answer += data
            return answer
    say(b"SET skin old.\r\n", b"OK\r\n")
    client = load(f"127.0.0.1:{port}", rate=200, send=r"GET skin\r\n", until=r".\r\n",
                  tag_after=r"\n", tag_before=".", sources=0)
    client.wait_answers(30, "old")
    for value in ("newer", "newest"):
        say(f"SET skin {value}.\r\n".encode(), b"OK\r\n")
        instance.upgrade()
        client.wait_answers(30, value)
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["old", "newer", "newest"]
    instance.stop()
