# SPDX-License-Identifier: MIT
"""`moult status` and `moult list`: their JSON is a contract, and they find the instance."""

import datetime

import pytest

from harness import network
from harness.load import assert_nothing_lost
from harness.waiter import waiter


def test_a_command_without_a_name_means_the_only_instance(moult, port):
    """With two instances the command asks which."""
    first, second = moult("first"), moult("second")
    other = network.new_port()
    assert rows_of(first.command("list")) == []
    first.run(command=waiter("g1", port))
    assert first.command("status").returncode == 0
    assert first.command("upgrade").returncode == 0
    second.run(command=waiter("g1", other))
    rows = rows_of(first.command("list"))
    assert [row[0] for row in rows] == ["first", "second"]
    assert str(first.process.pid) in rows[0] and str(second.process.pid) in rows[1]
    ambiguous = first.command("status")
    assert ambiguous.returncode == 2
    assert "first" in ambiguous.stderr and "second" in ambiguous.stderr
    second.stop()
    first.stop()
    assert rows_of(first.command("list")) == []


def rows_of(result):
    """The words of each line under the heading."""
    assert result.returncode == 0 and result.stderr == ""
    return [line.split() for line in result.stdout.splitlines()[1:]]


def keys(value):
    """The shape of a JSON value: keys of objects in order, of the first element of lists."""
    if isinstance(value, dict):
        return {name: keys(part) for name, part in value.items()}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


GENERATION = {"id": "int", "pid": "int", "state": "str", "processes": "int",
              "connections": "int", "connections_about": "bool", "accepted": "int",
              "datagrams": "int", "started": "str", "ready_ms": "int",
              "count_age_ms": "int", "command": ["str"]}


LISTENER = {"address": "str", "backlog": "int", "queued": "int", "adopted": "bool",
            "generation": "int", "retires_in_ms": "NoneType"}


STATUS = {"name": "str", "pid": "int", "state": "str", "since": "str",
          "generations": [GENERATION], "listeners": [LISTENER],
          "upgrades": {"completed": "int", "failed": "int",
                       "last": {"result": "str", "reason": "str", "generation": "int",
                                "ms": "int"}}}


def test_the_keys_of_the_status_are_a_contract(moult, load, port):
    """Other tools read them: these keys, in this order, with these values."""
    instance = moult().run(command=waiter("g1", port, "--backlog=77"))
    before = instance.status()
    shape = keys(before)
    expected = dict(STATUS)
    assert list(shape) == list(expected)
    assert list(shape["upgrades"])[:2] == ["completed", "failed"]
    assert shape["generations"] == [GENERATION] and shape["listeners"] == [LISTENER]
    assert before["upgrades"]["completed"] == before["upgrades"]["failed"] == 0
    assert before["listeners"] == [{"address": f"tcp:127.0.0.1:{port}", "backlog": 77,
                                    "queued": 0, "adopted": False, "generation": 1,
                                    "retires_in_ms": None}]
    client = load(f"127.0.0.1:{port}", rate=300, persistent=5)
    client.wait_answers(50)
    instance.upgrade(command=waiter("g2", port, "--backlog=99"))
    status = instance.status()
    assert keys(status) == STATUS
    assert (status["name"], status["pid"]) == (instance.name, instance.process.pid)
    assert status["state"] == "serving"
    instance.wait_generation(1, lambda old: old and old["connections"] == 5)
    states = {g["id"]: g for g in instance.status()["generations"]}
    assert (states[1]["state"], states[2]["state"]) == ("draining", "current")
    assert states[1]["accepted"] >= 50 and states[1]["processes"] == 1
    assert states[2]["command"] == waiter("g2", port, "--backlog=99")
    assert states[2]["pid"] in [p.pid for p in instance.tagged("g2")]
    assert status["listeners"][0]["adopted"] is True
    assert status["listeners"][0]["backlog"] == 99
    assert status["upgrades"]["last"]["result"] == "completed"
    assert status["upgrades"]["last"]["generation"] == 2
    for instant in (status["since"], states[1]["started"], states[2]["started"]):
        assert datetime.datetime.fromisoformat(instant.replace("Z", "+00:00"))
    client.close_persistent()
    instance.wait_gone(1)
    assert_nothing_lost(client.stop())
    text = instance.command("status", instance.name)
    assert text.returncode == 0 and text.stderr == ""
    for word in (instance.name, f"127.0.0.1:{port}", "serving", "current"):
        assert word in text.stdout
    instance.stop()


@pytest.mark.parametrize("options, addresses", [
    (("--family=6",), ["tcp:[::1]:{}"]),
    (("--family=dual",), ["tcp:[::]:{}"]),
    (("--family=both",), ["tcp:127.0.0.1:{}", "tcp:[::1]:{}"]),
], ids=["ipv6", "dual-stack", "both"])
def test_addresses_in_the_status(moult, port, options, addresses):
    instance = moult().run(command=waiter("g1", port, *options))
    assert [row["address"] for row in instance.status()["listeners"]] == [
        address.format(port) for address in addresses]
    instance.upgrade()
    rows = instance.status()["listeners"]
    assert all(row["adopted"] for row in rows) and len(rows) == len(addresses)
    instance.stop()
