# SPDX-License-Identifier: MIT
"""An address family that cannot be handed over: the daemon runs, and the operator is told."""

import socket
import sys

import pytest

from harness import network

DAEMON = """
import select, socket, sys
v = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
v.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
v.listen()
t = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    select.select([v, t], [], [])
    t.accept()[0].sendall(b"here")
"""


def why_not(port):
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
            probe.bind((socket.VMADDR_CID_ANY, port))
            probe.listen()
    except OSError as error:
        return str(error)
    return None


def test_a_vsock_listener_is_reported_and_not_handed_over(moult, port):
    """The daemon's other listeners are handed over as ever."""
    reason = why_not(port)
    if reason:
        pytest.skip(f"no AF_VSOCK here: {reason}")
    instance = moult().run(command=[sys.executable, "-c", DAEMON, port])
    instance.wait_log(r"generation 1: listens on a socket of address family 40 \(vsock\), "
                      r"which moult cannot hand over")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        assert client.recv(10) == b"here"
    assert network.listens("127.0.0.1", port)
    assert [row["address"] for row in instance.status()["listeners"]] == [f"tcp:127.0.0.1:{port}"]
    instance.stop()
