# SPDX-License-Identifier: MIT
"""Habits of real daemons that involve several processes: services that talk to each other, children
with other privileges."""

import socket

from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask, listens_unix
from harness.waiting import wait_until

TAGS = ["g1", "g2", "g3"]


def services(directory, port, tag):
    """Each generation has a socket of its own by which its services reach each other."""
    return [program("services"), "--tag", tag, f"--port={port}", f"--unix={directory}/{tag}"]


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    return connection, connection.makefile()


def ask_on(connection, answers):
    connection.sendall(b"lo\n")
    return answers.readline()


def test_connections_between_services_do_not_keep_a_generation(moult, load, directory, port):
    """The services talk to each other all the time; only connections of clients count."""
    instance = moult().run(command=services(directory, port, "g1"))
    client = load(f"127.0.0.1:{port}", rate=100, persistent=2, persistent_every=30)
    client.wait_answers(20, "g1")
    assert instance.wait_generation(1, lambda g: g["connections"] == 2) is None
    switched = []
    for number, tag in enumerate(TAGS[1:], 2):
        switched.append(instance.upgrade(command=services(directory, port, tag)).instant)
        client.wait_answers(20, tag)
        client.renew()
        instance.wait_gone(number - 1)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    assert {row["address"] for row in instance.status()["listeners"]} == {
        f"tcp:127.0.0.1:{port}", f"unix:{directory}/g3"}
    instance.stop()


def test_services_reach_each_other_until_the_last_client_has_left(moult, directory, port):
    """The first half of a line comes before the upgrade, the second half after it.  Only then does
    the front ask the clerk, at a path that the next generation does not have."""
    instance = moult().run(command=services(directory, port, "g1"))
    connection, answers = connect(port)
    connection.sendall(b"hel")
    wait_until(lambda: instance.generation(1)["accepted"] >= 1, 10, "it has not been accepted")
    instance.upgrade(command=services(directory, port, "g2"))
    assert ask_on(connection, answers).startswith("GEN g1 ")
    assert ask_on(connection, answers).startswith("GEN g1 ")
    connection.close()
    answers.close()
    instance.wait_gone(1)
    assert not listens_unix(directory / "g1")
    instance.stop()


def test_services_reach_each_other_while_a_stop_drains(moult, directory, port):
    """Connected clients are served to the end, as in an upgrade."""
    instance = moult().run(command=services(directory, port, "g1"))
    connection, answers = connect(port)
    assert ask_on(connection, answers).startswith("GEN g1 ")
    stop = instance.start_command("stop", instance.name)
    instance.wait_log("generation 1: draining, 1 connection")
    assert ask_on(connection, answers).startswith("GEN g1 ")
    connection.close()
    answers.close()
    assert stop.wait(15) == 0
    assert instance.wait_ended() == 0


def test_a_listener_in_a_process_with_other_privileges_is_reported(moult, port):
    """As in squid, the master executes the process that listens with a real uid that differs from
    the effective one. The loader loads no library into such a process, so it is served as without
    moult. That is reported at once and by each upgrade."""
    kid = f"{program('waiter')} --tag g1 --wait=epoll --nonblocking --port={port}"
    master = ["sh", "-c", f"setpriv --ruid=65534 {kid}; exit"]
    instance = moult().run(command=master, wait=False)
    instance.wait_log(f"sh listens on :{port} in a process that it has executed with changed")
    assert ask(port).startswith("GEN g1 ")
    result = instance.upgrade(command=master, expect=1)
    assert "AT_SECURE" in result.stderr
    assert ask(port).startswith("GEN g1 ")
