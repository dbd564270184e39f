# SPDX-License-Identifier: MIT
"""The other end of a connection: what clients see of the daemon, and what the daemon sees of
clients."""

import socket
import struct

import pytest

from harness.build import program
from harness.network import ask_unix

TYPES = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}


def peer_of(path, kind):
    with socket.socket(socket.AF_UNIX, TYPES[kind]) as client:
        client.connect(str(path))
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        client.sendall(b"hello\n")
        return struct.unpack("iII", credentials)[0], client.recv(100).decode().split()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("words", [("waiter", "--wait=epoll", "--nonblocking"),
                                   ("acceptor", "--model=single")], ids=["epoll", "blocking"])
def test_clients_see_the_credentials_of_the_new_process(moult, directory, kind, words):
    """SO_PEERCRED names the process that listens, which is the one that answers."""
    path = directory / "socket"

    def command(tag):
        return [program(words[0]), "--tag", tag, *words[1:], f"--type={kind}", f"--unix={path}",
                "--habit=unlink-first"]
    instance = moult().run(command=command("g1"))
    for tag in ("g1", "g2", "g3"):
        if tag != "g1":
            instance.upgrade(command=command(tag))
        pid, answer = peer_of(path, kind)
        assert answer == ["GEN", tag, str(pid)]
    instance.stop()
    assert "a silent connection" not in instance.log()


@pytest.mark.parametrize("where", ["udp", "unix"])
@pytest.mark.parametrize("threads", [1, 4])
def test_no_datagram_of_moult_reaches_the_daemon(moult, load, port, directory, where, threads):
    """moult wakes blocked readers when the gate closes.  The daemon would report every datagram
    that it does not know."""
    path = directory / "socket"
    place = f"--port={port}" if where == "udp" else f"--unix={path}"

    def command(tag):
        return [program("datagram"), "--tag", tag, "--wait=block", f"--threads={threads}", place,
                "--habit=unlink-first"]
    instance = moult().run(command=command("g1"))
    client = load(f"udp:127.0.0.1:{port}" if where == "udp" else f"dgram:{path}", rate=100)
    for tag in ("g1", "g2", "g3"):
        if tag != "g1":
            instance.upgrade(command=command(tag))
        client.wait_answers(20, tag)
    client.stop()
    assert "not a question" not in instance.log()
    instance.stop("--now")


@pytest.mark.parametrize("kind", TYPES)
def test_no_connection_of_moult_reaches_the_daemon(moult, directory, kind):
    """Four blocked accepts are woken at each switch; none returns a connection without data."""
    path = directory / "socket"

    def command(tag):
        return [program("acceptor"), "--tag", tag, "--model=prefork", f"--type={kind}",
                f"--unix={path}", "--habit=unlink-first"]
    instance = moult().run(command=command("g1"))
    for tag in ("g2", "g3", "g4"):
        instance.upgrade(command=command(tag))
        assert ask_unix(path, TYPES[kind]).startswith(f"GEN {tag} ")
    instance.wait_alone()
    instance.stop()
    assert "a silent connection" not in instance.log()
