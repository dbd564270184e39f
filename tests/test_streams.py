# SPDX-License-Identifier: MIT
"""Streams and uploads that outlive upgrades, of the servers that graceful restarts are written for.

Beside each of them the negative control: the same streams and the same load over a plain restart,
and over a swap of two processes that share the port by SO_REUSEPORT.  Both lose clients, so the
clients see losses where there are any.
"""

import contextlib
import os
import signal
import socket

import pytest

from catalogue.python import PYTHON
from catalogue.streams import GRPC, SECCOMP, TOKIO, WEBSOCKETS, WS
from harness import build, network, processes
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches
from harness.streams import Streams, losses
from harness.waiting import wait_until

pytestmark = pytest.mark.daemons

KINDS = {"tokio": (TOKIO, "lines"), "websockets": (WEBSOCKETS, "websocket"),
         "node": (WS, "websocket"), "grpc": (GRPC, "grpc"), "seccomp": (SECCOMP, "lines")}

# Binds descriptor 9 with SO_REUSEPORT and executes the rest of its command line.
BINDS = """
import os, socket, sys
bound = socket.socket()
bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
bound.bind(("127.0.0.1", int(sys.argv[1])))
os.dup2(bound.fileno(), 9)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Service:
    """A server of streams at its port, with clients of both sorts."""

    def __init__(self, name, setting, load, started):
        self.daemon, self.kind = KINDS[name]
        self.setting, self.load, self.started = setting, load, started

    def command(self, tag):
        return self.daemon.command(self.setting, tag)

    def sharing(self, tag):
        """The command with which the server shares its port with another process."""
        if self.daemon is GRPC:  # does so anyway
            return self.command(tag)
        if self.daemon is WS:  # node has no option for that before version 23
            return [PYTHON, "-c", BINDS, self.setting.port, *self.command(tag), "9"]
        return [*self.command(tag), "reuseport"]

    def streams(self):
        streams = Streams(self.kind, self.setting.port)
        self.started.append(streams)
        return streams

    def client(self):
        return self.load(f"127.0.0.1:{self.setting.port}", rate=60,
                         **self.daemon.load(self.setting))


@pytest.fixture(params=KINDS)
def service(request, directory, port, load, started):
    return Service(request.param, Setting(directory, port), load, started)


def queues(port):
    """How many clients wait in the queue of each listening socket.  gRPC's are IPv6 sockets."""
    rows = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/thread-self/net/{table}") as file:
            rows += [line.split() for line in file.readlines()[1:]]
    return [int(row[4].partition(":")[2], 16) for row in rows
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]


def servers(port, tag):
    """The pids of the server's processes in that generation."""
    return [process.pid for process in processes.with_words(str(port), tag)
            if process.command[0] != str(build.MOULT)]


@contextlib.contextmanager
def busy(pids, port):
    """The processes do not run until clients wait for them, as if they had something long to do."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: max(queues(port), default=0) >= 3, 10, "nobody waits in the queue")
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_streams_live_through_five_upgrades(moult, service):
    """A stream begins in each generation.  Each stays there, and all end by themselves.

    Five old generations drain at once; by default the oldest would be ended then.  One upgrade
    comes when the old generation leaves its clients in the queue, as in the swap below.
    """
    port = service.setting.port
    instance = moult().run("--max-draining=5", command=service.command("g1"))
    client, streams = service.client(), service.streams()
    tags, switched = ["g1", "g2", "g3", "g4", "g5", "g6"], []
    client.wait_answers(10, "g1")
    streams.open(1, "g1")
    for old, tag in zip(tags, tags[1:]):
        with busy(servers(port, old), port) if tag == "g4" else contextlib.nullcontext():
            switched.append(instance.upgrade(command=service.command(tag)).instant)
            client.wait_answers(10, tag)
        streams.open(1, tag)
        streams.wait_messages()
    assert len(instance.status()["generations"]) == 6
    records = streams.finish()
    assert not losses(records), records
    assert [record["tag"] for record in records] == tags
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, tags, switched)
    assert instance.wait_alone()["id"] == 6
    instance.stop()


def assert_loses(client, streams, words):
    """New clients are lost in one of these ways, and every stream is cut."""
    result = client.stop()
    assert result.losses.keys() & words, f"lost: {result.losses}\n{result.explain()}"
    lost = losses(streams.finish())
    assert len(lost) == 2 and all(loss.startswith("cut") for loss in lost), lost


def test_a_swap_by_so_reuseport_loses_clients(plain, service):
    """The new process listens beside the old one, and then the old one ends: its queue is reset."""
    port = service.setting.port
    old = plain(service.sharing("g1"))
    wait_until(lambda: queues(port), 10, "nobody listens")
    client, streams = service.client(), service.streams()
    client.wait_answers(10, "g1")
    streams.open(2, "g1")
    new = plain(service.sharing("g2"))
    client.wait_answers(3, "g2")
    with busy(servers(port, "g1"), port):
        old.process.terminate()
    old.wait()
    client.wait_answers(10, "g2")
    assert_loses(client, streams, {"reset", "cut"})
    new.end()


def test_a_plain_restart_loses_clients(plain, service):
    """Nobody listens until the new process does.  A fast server would be back before the next client
    comes, so the new process starts when one has come."""
    old = plain(service.command("g1"))
    wait_until(lambda: queues(service.setting.port), 10, "nobody listens")
    client, streams = service.client(), service.streams()
    client.wait_answers(10, "g1")
    streams.open(2, "g1")
    old.end()
    client.wait(lambda report: report["refused"], reason="no client comes")
    new = plain(service.command("g2"))
    client.wait_answers(10, "g2")
    assert_loses(client, streams, {"refused"})
    new.end()


# ---- uploads ----

UPLOAD = bytes(range(256)) * 8192


class Upload:
    """A POST of which the first half has been sent."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), 20)
        self.connection.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                b"Content-Length: %d\r\n\r\n" % len(UPLOAD))
        self.connection.sendall(UPLOAD[:len(UPLOAD) // 2])

    def finish(self):
        """Sends the rest; returns the head and the body of the answer."""
        with self.connection:
            self.connection.sendall(UPLOAD[len(UPLOAD) // 2:])
            head, _, body = self.connection.makefile("rb").read().decode().partition("\r\n\r\n")
            return head, body


def test_an_upload_that_stalls_across_upgrades_completes(moult, load, directory):
    """One client sends to nginx, which passes it on; another sends to the server itself.  Both
    pause while nginx and the server are upgraded, and the old generations wait for them."""
    for name in ("front", "back"):
        (directory / name).mkdir()
    front, back = (Setting(directory / name, network.new_port()) for name in ("front", "back"))
    instances = {name: moult(name) for name in ("front", "back")}

    def nginx(tag):
        return ["nginx", "-c", front.fill_in("nginx-upload.conf", tag, UPSTREAM=back.port), "-g",
                "daemon off;"]
    instances["back"].run(command=TOKIO.command(back, "g1"))
    instances["front"].run(command=nginx("g1"))
    uploads = [Upload(front.port), Upload(back.port)]
    for instance, count in (("front", 1), ("back", 2)):
        instances[instance].wait_generation(1, lambda g, n=count: g["connections"] == n)
    client = load(f"127.0.0.1:{front.port}", rate=100, mode="http")
    client.wait_answers(10, "g1")
    for tag in ("g2", "g3"):
        instances["back"].upgrade(command=TOKIO.command(back, tag))
        instances["front"].upgrade(command=nginx(tag))
        client.wait_answers(10, tag)
    answers = [upload.finish() for upload in uploads]
    for head, body in answers:
        assert head.startswith("HTTP/1.1 200 "), head
        assert body == f"GEN g1 {len(UPLOAD)} bytes, sum {sum(UPLOAD)}\n"
    assert "Front: g1" in answers[0][0]
    assert_nothing_lost(client.stop())
    for instance in instances.values():
        assert instance.wait_alone()["id"] == 3
        instance.stop()
