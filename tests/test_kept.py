# SPDX-License-Identifier: MIT
"""Listeners that outlive the launcher: what the manager stores, and what it passes (sockets of its
own, too)."""

import socket

import pytest

from harness import processes
from harness.load import assert_nothing_lost
from harness.manager import managed, manager, passing  # fixtures
from harness.network import ask, listens
from harness.no_overlap import connect
from harness.waiter import waiter
from harness.waiting import wait_until


def crash(instance):
    """As systemd ends a unit whose launcher was killed: everything with SIGKILL."""
    everything = [instance.process.pid, *[p.pid for p in processes.descendants()
                                          if p.pid != instance.process.pid]]
    processes.kill([pid for pid in everything if "moult" in processes.name(pid)
                    or processes.name(pid) in ("waiter", "python3")])
    instance.process.wait(10)
    wait_until(lambda: not [p for p in processes.descendants() if "waiter" in p.command[0]], 10,
               "processes are left")


@pytest.fixture
def address(request, port, directory):
    """(OPTIONS of waiter, ADDRESS for the load client)"""
    return {
        "tcp": (("--port", str(port)), f"127.0.0.1:{port}"),
        "tcp6": (("--port", str(port), "--family=6"), f"[::1]:{port}"),
        "reuseport": (("--port", str(port), "--reuseport", "--processes=3"), f"127.0.0.1:{port}"),
        "unix": ((f"--unix={directory}/s",), f"unix:{directory}/s"),
        "abstract": ((f"--unix=@moult-test-{port}",), f"unix:@moult-test-{port}"),
        "seqpacket": ((f"--unix={directory}/s", "--type=seqpacket"), f"seqpacket:{directory}/s"),
    }[request.param]


def daemon(tag, options, *more):
    return [*waiter(tag, 0)[:-2], *options, *more]


@pytest.mark.parametrize("address", ["tcp", "tcp6", "reuseport", "unix", "abstract", "seqpacket"],
                         indirect=True)
def test_clients_wait_while_the_service_is_away(managed, manager, load, address):
    """The launcher and all processes are killed, and the manager starts the service again."""
    options, where = address
    first = managed().run(command=daemon("g1", options))
    stored = manager.wait_stored(1)
    client = load(where, rate=0)
    client.stop()
    crash(first)
    late = load(where, rate=100)
    late.wait(lambda report: report["in_flight"] > 20, reason="nobody waits")
    second = managed().run(command=daemon("g2", options), **passing(stored))
    late.wait_answers(100, "g2")
    second.upgrade(command=daemon("g3", options))
    late.wait_answers(50, "g3")
    assert_nothing_lost(late.stop())
    assert "the service manager has kept" in second.log()
    wait_until(lambda: len(manager.stored) == 1, 5, str(manager.stored))
    assert manager.lines().count("FDSTORE=1") == 1, "stored again by the second launcher?"
    second.stop()
    manager.wait("FDSTOREREMOVE=1")


def test_a_port_that_the_kernel_has_chosen(managed, manager, directory):
    first = managed().run(command=waiter("g1", 0))
    stored = manager.wait_stored(1)
    port = socket.socket(fileno=socket.dup(stored[0][1])).getsockname()[1]
    crash(first)
    second = managed().run(command=waiter("g2", 0), **passing(stored))
    assert ask(port).startswith("GEN g2 ")
    second.stop()


def test_only_a_listener_where_clients_are_served_is_stored(managed, manager, port):
    """Not that of a version which fails; and one that the next version drops is not kept."""
    instance = managed().run("--retire-after=300ms", command=waiter("g1", port))
    manager.wait_stored(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        second = other.getsockname()[1]
    instance.upgrade(command=waiter("bad", second, "--fail=exit1", "--fail-at=waiting"), expect=1)
    assert manager.lines().count("FDSTORE=1") == 1
    instance.upgrade(command=waiter("g2", second))
    manager.wait("FDSTOREREMOVE=1")
    wait_until(lambda: manager.lines().count("FDSTORE=1") == 2, 10, str(manager.messages))
    manager.wait_stored(1)
    assert not listens("127.0.0.1", port)
    instance.stop()


def test_a_listener_is_removed_by_the_name_with_which_it_was_stored(managed, manager, port):
    """The next version binds it as another user, and that user is in the name."""
    instance = managed().run(command=["setpriv", "--reuid=65534", "--regid=65534",
                                      "--clear-groups", *waiter("g1", port)])
    manager.wait_stored(1)
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.stop()
    manager.wait_stored(0)


def test_a_kept_listener_that_the_next_service_does_not_want(managed, manager, port):
    first = managed().run(command=waiter("g1", port))
    stored = manager.wait_stored(1)
    crash(first)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        second = other.getsockname()[1]
    instance = managed().run("--retire-after=300ms", command=waiter("g2", second),
                             **passing(stored))
    manager.wait("FDSTOREREMOVE=1")
    wait_until(lambda: not listens("127.0.0.1", port), 5, "still listens")
    instance.stop()


def test_a_stored_socket_that_is_shut_is_dropped(managed, manager, port):
    """It is that of a service that was stopped."""
    first = managed().run(command=waiter("g1", port))
    [(name, fd)] = manager.wait_stored(1)
    socket.socket(fileno=socket.dup(fd)).shutdown(socket.SHUT_RD)
    crash(first)
    second = managed().run(command=waiter("g2", port), **passing([(name, fd)]))
    manager.wait("FDSTOREREMOVE=1")
    assert ask(port).startswith("GEN g2 ")
    second.stop()


@pytest.mark.parametrize("store", ["0", "16", None])
def test_a_program_that_ends_leaves_the_queue_to_its_manager(managed, manager, port, store):
    """Restart= in the unit starts it again; without a store the port is closed at once."""
    given = {} if store is None else {"FDSTORE": store}
    instance = managed(**given).run(command=waiter("g1", port))
    if store != "0":
        [(_, fd)] = manager.wait_stored(1)
    processes.kill([instance.generation(1)["pid"]])
    assert instance.wait_ended() == 1
    if store == "0":
        assert not manager.stored and not listens("127.0.0.1", port)
        return
    with socket.create_connection(("127.0.0.1", port)), socket.socket(fileno=socket.dup(fd)) as kept:
        kept.settimeout(5)
        kept.accept()[0].close()


DESERTS = """
import os, signal, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: time.sleep(1) or os._exit(0))
    server.close()
    time.sleep(100)
while True:
    server.accept()[0].close()
"""


def test_a_program_whose_rest_does_not_accept_leaves_the_queue(managed, manager, port):
    instance = managed().run(command=["/usr/bin/python3", "-c", DESERTS, str(port)])
    [(_, fd)] = manager.wait_stored(1)
    processes.kill([instance.generation(1)["pid"]])
    instance.wait_log("do not accept")
    with socket.create_connection(("127.0.0.1", port)), socket.socket(fileno=socket.dup(fd)) as kept:
        kept.settimeout(5)
        kept.accept()[0].close()
        assert instance.wait_ended() == 1
        assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


SESSIONS = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    client = server.accept()[0]
    if os.fork() == 0:
        server.close()
        while client.recv(100):
            client.sendall(b"GEN " + sys.argv[1].encode() + b" 0\\n")
        os._exit(0)
    client.close()
"""


def test_a_stop_that_leaves_the_sessions(managed, connect, port):
    """As without moult the sessions of sshd outlive a restart; and those of older generations."""
    def sessions(tag):
        return ["/usr/bin/python3", "-c", SESSIONS, tag, str(port)]
    first = managed().run("--leave-sessions", command=sessions("g1"))
    held = [connect(port).ask()]
    assert held[0].answer() == "g1"
    first.upgrade(command=sessions("g2"))
    held.append(connect(port).ask())
    assert held[1].answer() == "g2"
    first.stop()
    assert not listens("127.0.0.1", port)
    second = managed().run("--leave-sessions", command=sessions("g3"))
    held.append(connect(port).ask())
    assert [client.answer() for client in held[2:]] == ["g3"]
    assert [client.ask().answer() for client in held] == ["g1", "g2", "g3"]
    second.stop("--now")
    assert held[2].ask().answer() == ""
    assert [client.ask().answer() for client in held[:2]] == ["g1", "g2"]
    for client in held:
        client.close()
    wait_until(lambda: not processes.descendants(), 5, lambda: str(processes.descendants()))


# ---- sockets of the manager's own ----

ACTIVATED = """
import os, select, socket, sys
tag, number = sys.argv[1].encode(), int(os.environ["LISTEN_FDS"])
assert int(os.environ["LISTEN_PID"]) == os.getpid()
listeners = [socket.socket(fileno=3 + i) for i in range(number)]
names = os.environ.get("LISTEN_FDNAMES", "").encode()
assert "FDSTORE" not in os.environ
clients = []
while True:
    for one in select.select(listeners + clients, [], [])[0]:
        if one in listeners:
            clients.append(one.accept()[0])
        elif one.recv(100):
            one.sendall(b"GEN " + tag + b" " + names + b"\\n")
        else:
            clients.remove(one)
            one.close()
"""


def activated(tag, port):
    del port
    return ["/usr/bin/python3", "-c", ACTIVATED, tag]


@pytest.fixture
def own(port):
    """A listening socket of the manager's."""
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server


@pytest.mark.parametrize("command", [activated, waiter], ids=["descriptor", "bind"])
def test_socket_activation(managed, load, connect, own, port, command):
    """Each generation has the socket, only the current one accepts, and connections are drained."""
    instance = managed().run(command=command("g1", port), **passing([("web", own.fileno())]))
    client = load(f"127.0.0.1:{port}", rate=100, persistent=1)
    client.wait_answers(20, "g1")
    held = connect(port).ask()
    assert held.answer() == "g1"
    for tag in ("g2", "g3"):
        instance.upgrade(command=command(tag, port))
        client.wait_answers(20, tag)
    instance.upgrade(command=waiter("bad", port, "--fail=exit1"), expect=1)
    assert instance.generation(1)["state"] == "draining"
    assert held.ask().answer() == "g1"
    held.close()
    client.close_persistent()
    instance.wait_alone()
    client.wait_answers(20, "g3")
    assert_nothing_lost(client.stop())
    instance.stop()
    with socket.create_connection(("127.0.0.1", port)), own.accept()[0]:
        pass  # the manager's socket is as it was


def test_the_manager_starts_the_service_again_for_a_client(managed, own, port):
    instance = managed().run(command=activated("g1", port), **passing([("web", own.fileno())]))
    assert ask(port).split() == ["GEN", "g1", "web"]
    instance.stop()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as early:
        early.sendall(b"hello\n")
        instance = managed().run(command=activated("g2", port),
                                 **passing([("web", own.fileno())]))
        assert early.recv(100) == b"GEN g2 web\n"
    instance.stop()


CLOSES = """
import os, socket, sys
os.close(3)
socket.create_server(("127.0.0.1", int(sys.argv[1]))).close()
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    server.accept()[0].close()
"""


def test_a_daemon_that_closes_the_managers_socket(managed, own, port):
    """It stays open for the manager, and the next generation gets it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
    instance = managed().run("--retire-after=200ms",
                             command=["/usr/bin/python3", "-c", CLOSES, str(port), str(other)],
                             **passing([("web", own.fileno())]))
    instance.wait_log(f"closed tcp:127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port)), own.accept()[0]:
        pass
    instance.upgrade(command=activated("g2", port))
    assert ask(port).split() == ["GEN", "g2", "web"]
    instance.stop()


def test_stored_and_own_sockets_together(managed, manager, port, own, directory):
    """The daemon finds the manager's sockets without gaps; the stored ones are not for it."""
    path = directory / "s"
    first = managed().run(command=daemon("g1", (f"--unix={path}",)))
    [stored] = manager.wait_stored(1)
    crash(first)
    with socket.create_server(("127.0.0.1", 0)) as other:
        fds = [("one", own.fileno()), stored, ("two", other.fileno())]
        instance = managed().run("--retire-after=200ms", command=activated("g2", port),
                                 **passing(fds))
        assert ask(port).split() == ["GEN", "g2", "one:two"]
        assert ask(other.getsockname()[1]).split() == ["GEN", "g2", "one:two"]
        manager.wait("FDSTOREREMOVE=1")
        instance.upgrade(command=activated("g3", port))
        assert ask(port).split() == ["GEN", "g3", "one:two"]
        instance.stop()


def test_descriptors_for_another_process_are_left_alone(managed, own, port):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
    instance = managed().run(command=waiter("g1", other),
                             **passing([("web", own.fileno())], pid="1"))
    assert [row["address"] for row in instance.status()["listeners"]] == [f"tcp:127.0.0.1:{other}"]
    instance.stop()


@pytest.mark.parametrize("given, awaited, least, most",
                         [((), False, 1.5, 30), ((), True, 4.5, 8),
                          (("--stop-timeout=500ms",), False, 0.4, 3),
                          (("--stop-timeout=500ms",), True, 0.4, 3)],
                         ids=["drain", "awaited", "given", "given-awaited"])
def test_how_long_a_stop_waits(managed, connect, own, port, given, awaited, least, most):
    """Apart from the drain of an upgrade; shorter if new clients wait meanwhile."""
    options = (*given, *(() if awaited else ("--drain-timeout=2s",)))
    fds = passing([("web", own.fileno())]) if awaited else {}
    if not awaited:
        own.close()
    instance = managed().run(*options, command=waiter("g1", port), **fds)
    held = connect(port).ask()
    assert held.answer() == "g1"
    begin = processes.time.monotonic()
    instance.stop()
    assert least < processes.time.monotonic() - begin < most
    assert "1 connections left after" in instance.log()
