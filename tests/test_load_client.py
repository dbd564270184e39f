# SPDX-License-Identifier: MIT
"""The load client sees each connection that is lost; without this, no other test would prove
anything."""

import contextlib
import signal
import socket
import struct
import threading

import pytest

from harness import network
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.waiting import wait_until


class Server:
    """Accepts on a thread of its own and passes each connection to `behaviour`."""

    def __init__(self, port, behaviour, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.socket.listen(1024)
        self.behaviour = behaviour
        self.kept = []
        self.thread = threading.Thread(target=self._loop)
        self.thread.start()

    def _loop(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                self.behaviour(self, connection)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        for connection in self.kept:
            connection.close()


def answers(text):
    def behave(_, connection):
        with connection:
            connection.recv(4096)
            connection.sendall(text)
    return behave


def resets(_, connection):
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def keeps_silent(server, connection):
    server.kept.append(connection)


def answers_and_keeps(server, connection):
    connection.recv(4096)
    connection.sendall(b"GEN g1 1\n")
    server.kept.append(connection)


def answers_and_resets(_, connection):
    connection.recv(4096)
    connection.sendall(b"GEN g1 1\n")
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def changes_its_name(_, connection):
    """What a client would see if its connection moved from one generation to another."""
    with connection:
        for tag in (b"g1", b"g2"):
            if connection.recv(4096):
                connection.sendall(b"GEN %s 1\n" % tag)


@pytest.fixture
def server(started):
    def make(port, behaviour, **options):
        thing = Server(port, behaviour, **options)
        started.append(thing)
        return thing
    return make


HTTP_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nGEN g1 1\n"


@pytest.mark.parametrize("behaviour, loss, options", [
    (answers(b""), "cut", {}),
    (answers(b"GEN g1"), "cut", {}),
    (resets, "reset", {}),
    (answers_and_resets, "reset", {}),
    (keeps_silent, "timed_out", {"timeout": 200}),
    (answers_and_keeps, "timed_out", {"timeout": 200}),
    (answers(b"ERR\n"), "wrong", {}),
    (answers(b"GEN g1 1\nand more"), "wrong", {}),
    (answers(b"NOT GEN g1 1\n"), "wrong", {"expect_prefix": "GEN "}),
    (answers(HTTP_ANSWER % 9), "wrong", {"mode": "http", "expect_prefix": "HTTP/1.1 500"}),
    (answers(HTTP_ANSWER % 10), "cut", {"mode": "http"}),
    (answers(b"SSH-2.0-x\r\n" + b"x" * 20000), "wrong", {"mode": "http"}),
    (keeps_silent, "overflow", {"in_flight": 5, "timeout": 1000}),
], ids=lambda value: value if isinstance(value, str) else None)
def test_each_loss_is_seen(server, load, port, behaviour, loss, options):
    """The server makes one mistake, and the client reports the mistake under the right name."""
    server(port, behaviour)
    client = load(f"127.0.0.1:{port}", rate=200, **options)
    client.wait(lambda report: report[loss] >= 10, reason=loss)
    result = client.stop()
    others = {"timed_out"} if loss == "overflow" else set()
    assert set(result.losses) - others == {loss}, result.explain()


def test_a_refused_connection_is_seen(load, port):
    client = load(f"127.0.0.1:{port}", rate=200, persistent=2)
    client.wait(lambda report: report["refused"] >= 10 and report["persistent"]["refused"] == 2)
    result = client.stop()
    assert set(result.losses) == {"refused", "persistent refused"}, result.explain()


@pytest.mark.parametrize("behaviour, loss", [
    (answers(b"GEN g1 1\n"), "cut"),
    (answers_and_resets, "reset"),
    (changes_its_name, "wrong"),
])
def test_a_lost_persistent_connection_is_seen(server, load, port, behaviour, loss):
    """The connection is cut or reset between two requests, or another generation answers."""
    server(port, behaviour)
    client = load(f"127.0.0.1:{port}", rate=0, persistent=1, persistent_every=20)
    client.wait(lambda report: report["persistent"]["lost"] == 1)
    result = client.stop()
    assert result.losses == {f"persistent {loss}": 1}, result.explain()


@pytest.mark.parametrize("mode, answer, options", [
    ("request", b"GEN g1 1\n", {}),
    ("banner", b"220 GEN g1 ready\r\n", {"expect_prefix": "220 "}),
    ("http", HTTP_ANSWER % 9, {"tag_before": " "}),
    ("http", b"HTTP/1.0 200 OK\r\n\r\nGEN g1 1\n", {}),
])
def test_each_mode_reads_a_right_answer(server, load, port, mode, answer, options):
    def behave(_, connection):
        with connection:
            if mode != "banner":
                connection.recv(4096)
            connection.sendall(answer)
            if b"1.0" not in answer:
                connection.recv(4096)
    server(port, behave)
    client = load(f"127.0.0.1:{port}", mode=mode, rate=300, **options)
    client.wait(lambda report: report.tags.get("g1", {"answered": 0})["answered"] >= 50)
    assert_nothing_lost(client.stop())


def test_a_binary_protocol(server, load, port):
    """Zeros and bytes above 127 are ordinary bytes in the question and in the answer."""
    asked = []

    def behave(_, connection):
        with connection:
            asked.append(connection.recv(4096))
            connection.sendall(b"R\0\0GEN g1 \0\xff\0.")
    server(port, behave)
    client = load(f"127.0.0.1:{port}", rate=100, send=r"\x00Q\xfe\x00\\x", until=r"\xff\x00.",
                  expect_prefix=r"R\x00", tag_after=r"\x00GEN ", tag_before=r" \x00")
    client.wait_answers(10, "g1")
    assert_nothing_lost(client.stop())
    assert set(asked) == {b"\0Q\xfe\0\\x"}


def test_ipv6(server, load, port):
    server(port, answers(b"GEN g1 1\n"), host="::1")
    client = load(f"[::1]:{port}", rate=200)
    client.wait_answers(20)
    assert_nothing_lost(client.stop())


def test_a_slow_server_does_not_slow_the_client_down(server, load, port):
    """Connections are started by the clock, not by the answers."""
    server(port, keeps_silent)
    client = load(f"127.0.0.1:{port}", rate=500, duration=1, timeout=3000)
    started = client.wait(lambda report: report["elapsed_ms"] >= 1000)["started"]
    assert 480 <= started <= 510
    client.close()


def test_persistent_connections_are_renewed(plain, load, port):
    """By the command and by SIGUSR1: the old ones end in good order, and as many new ones are
    opened."""
    plain([program("waiter"), "--wait", "epoll", "--tag", "g1", "--port", port]) \
        .wait_listening(port)
    client = load(f"127.0.0.1:{port}", rate=0, persistent=3, persistent_every=10)
    for generation, renew in ((1, client.renew),
                              (2, lambda: client.process.send_signal(signal.SIGUSR1))):
        client.wait(lambda report, n=generation: report["persistent"]["answered"] >= 6 * n)
        renew()
        client.wait(lambda report, n=generation: report["persistent"]["closed"] == 3 * n)
    client.wait(lambda report: report.persistent_tags["g1"]["open"] == 3)
    client.close_persistent()
    client.wait(lambda report: report.persistent_tags["g1"]["open"] == 0)
    result = client.stop()
    assert result["persistent"]["closed"] == 9
    assert not result.losses, result.explain()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_result(plain, load, port, number):
    plain([program("waiter"), "--wait", "poll", "--tag", "g1", "--port", port]) \
        .wait_listening(port)
    client = load(f"127.0.0.1:{port}", rate=300, persistent=1)
    client.wait_answers(20)
    client.process.send_signal(number)
    wait_until(lambda: client.process.poll() is not None, 5, "the client goes on")
    assert client.process.returncode == 0
    assert client._line()["kind"] == "result"
    assert_nothing_lost(client.last)


@pytest.mark.parametrize("arguments", [
    {}, {"address": "localhost:80"}, {"address": "127.0.0.1"}, {"address": "[1.2.3.4]:80"},
    {"address": "127.0.0.1:80", "rate": "many"}, {"address": "127.0.0.1:80", "mode": "x"},
    {"address": "127.0.0.1:80", "duration": "x"},
    {"address": "unix:"}, {"address": "unix:relative"}, {"address": "dgram:/" + "x" * 108},
    {"address": "udp:127.0.0.1"}, {"address": "udp:127.0.0.1:80", "persistent": 1},
    {"address": "dgram:/nobody", "mode": "http"},
])
def test_bad_options_are_refused(plain, arguments):
    from harness.build import LOAD
    status, out, err = plain(
        [LOAD] + [f"--{name}={value}" for name, value in arguments.items()]).wait()
    assert (status, out) == (2, "")
    assert err.startswith("load: ") and err.count("\n") == 1


def test_a_plain_restart_loses_connections(plain, load, port):
    """The negative control: a stop and a start without moult lose connections, and the client sees
    that."""
    command = [program("waiter"), "--wait", "epoll", "--port", port, "--start-delay", 150, "--tag"]
    old = plain(command + ["g1"]).wait_listening(port)
    client = load(f"127.0.0.1:{port}", rate=600, persistent=3)
    client.wait(lambda report: report["answered"] >= 100 and
                report["persistent"]["answered"] >= 3)
    old.end()
    plain(command + ["g2"])
    client.wait(lambda report: "g2" in report.tags and report.tags["g2"]["answered"] >= 100)
    result = client.stop()
    assert list(result.tags) == ["g1", "g2"]
    assert result["refused"] >= 10, result.explain()
    lost_while_open = result["persistent"]["cut"] + result["persistent"]["reset"]
    assert lost_while_open == 3, result.explain()


def test_a_late_answer_of_the_old_one_is_seen(plain, load):
    """Two servers on one queue stand in for an old generation that goes on accepting."""
    port = network.new_port()
    plain([program("acceptor"), "--model", "prefork", "--tag", "g1", "--port", port]) \
        .wait_listening(port)
    client = load(f"127.0.0.1:{port}", rate=300)
    switched = client.wait_answers(50)["now_ns"]
    client.wait_answers(50)
    result = client.stop()
    with pytest.raises(AssertionError, match="after the upgrade"):
        assert_switches(result, ["g1"], [switched])


# ---- UNIX sockets ----

@pytest.mark.parametrize("kind, name", [("unix", "{}/socket"), ("unix", "@{}"),
                                        ("seqpacket", "{}/socket"), ("seqpacket", "@{}")])
def test_unix_sockets(plain, load, directory, kind, name):
    name = name.format(directory)
    type_ = "stream" if kind == "unix" else kind
    plain([program("waiter"), "--wait=poll", "--tag=g1", f"--type={type_}", f"--unix={name}"]) \
        .wait_listening_unix(name)
    client = load(f"{kind}:{name}", rate=300, persistent=3, persistent_every=20)
    client.wait(lambda report: report["answered"] >= 50 and
                report["persistent"]["answered"] >= 9)
    assert_nothing_lost(client.stop())


@pytest.mark.parametrize("kind", ["unix", "seqpacket", "dgram"])
def test_a_path_that_is_not_there_is_refused(load, directory, kind):
    client = load(f"{kind}:{directory}/nobody", rate=200)
    client.wait(lambda report: report["refused"] >= 10)
    result = client.stop()
    assert set(result.losses) == {"refused"}, result.explain()
    assert {failure["error"] for failure in result["failures"]} == {"No such file or directory"}


@pytest.mark.parametrize("kind", ["unix", "seqpacket", "dgram"])
def test_a_path_without_its_socket_is_refused(load, directory, kind):
    """A dead server leaves such a path behind."""
    types = {"unix": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET,
             "dgram": socket.SOCK_DGRAM}
    with socket.socket(socket.AF_UNIX, types[kind]) as left:
        left.bind(f"{directory}/socket")
    client = load(f"{kind}:{directory}/socket", rate=200)
    client.wait(lambda report: report["refused"] >= 10)
    result = client.stop()
    assert set(result.losses) == {"refused"}, result.explain()


def test_a_full_unix_queue_is_waited_for(load, directory):
    """A non-blocking connect() fails there with EAGAIN; the blocking connect() of a real client
    would wait."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/socket")
        listener.listen(1)
        client = load(f"unix:{directory}/socket", rate=100)
        report = client.wait(lambda report: report["in_flight"] >= 20)
        assert not report.losses
        listener.settimeout(0.1)
        ended = threading.Event()

        def accept_until_the_end():
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    answers(b"GEN g1 1\n")(None, listener.accept()[0])

        thread = threading.Thread(target=accept_until_the_end)
        thread.start()
        try:
            client.wait_answers(40)
            assert_nothing_lost(client.stop())
        finally:
            ended.set()
            thread.join()


def test_a_full_unix_queue_is_not_waited_for_without_a_limit(load, directory):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/socket")
        listener.listen(1)
        client = load(f"unix:{directory}/socket", rate=100, timeout=300)
        client.wait(lambda report: report["timed_out"] >= 10)
        result = client.stop()
    assert set(result.losses) == {"timed_out"}, result.explain()


@pytest.mark.parametrize("kind", ["unix", "seqpacket"])
@pytest.mark.parametrize("habit", ["unlink-at-exit", "unlink-first", "temp-rename"])
def test_a_plain_restart_loses_unix_connections(plain, load, directory, kind, habit):
    """Whether the path disappears, stays without a socket, or names another socket."""
    path = directory / "socket"
    command = [program("waiter"), "--wait=epoll", f"--unix={path}", "--start-delay=150",
               f"--type={'stream' if kind == 'unix' else kind}", "--habit=unlink-first",
               f"--habit={habit}", "--tag"]
    old = plain(command + ["g1"]).wait_listening_unix(path)
    client = load(f"{kind}:{path}", rate=600, persistent=3)
    client.wait(lambda report: report["answered"] >= 100 and
                report["persistent"]["answered"] >= 3)
    old.end()
    plain(command + ["g2"])
    client.wait(lambda report: "g2" in report.tags and report.tags["g2"]["answered"] >= 100)
    result = client.stop()
    assert list(result.tags) == ["g1", "g2"]
    assert result["refused"] >= 10, result.explain()
    assert result["persistent"]["cut"] + result["persistent"]["reset"] == 3, result.explain()
