# SPDX-License-Identifier: MIT
"""No client is refused while systemd restarts a service: it holds the sockets meanwhile."""

import time

import pytest

from harness.load import assert_lost_only_with, assert_nothing_lost
from harness.network import ask, listens
from harness.no_overlap import connect
from harness.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(300)]

STORE = "FileDescriptorStoreMax=16"


def begun(web, tag="g1"):
    web.version(tag).systemctl("start")
    assert ask(web.port).startswith(f"GEN {tag} ")
    return web.show("MainPID")


def test_a_restart_refuses_nobody(unit, load):
    """New clients wait in the queue until the next launcher's daemon accepts.  Twice, for what has
    come back from the store must stay there; then an upgrade."""
    web = unit("web").install(STORE)
    mains = [begun(web)]
    client = load(f"127.0.0.1:{web.port}", rate=100)
    client.wait_answers(20, "g1")
    for tag in ("g2", "g3"):
        web.version(tag).systemctl("restart")
        client.wait_answers(20, tag)
        mains.append(web.show("MainPID"))
        wait_until(lambda: web.show("NFileDescriptorStore") == "1", 10, web.log)
    assert len(set(mains)) == 3
    web.version("g4").systemctl("reload")
    client.wait_answers(20, "g4")
    assert web.show("MainPID", "NFileDescriptorStore") == [mains[-1], "1"]
    assert_nothing_lost(client.stop())


def test_without_a_store_a_restart_refuses_clients(unit, load):
    """The negative control."""
    web = unit("web").install()
    begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=100)
    client.wait_answers(20, "g1")
    web.version("g2").systemctl("restart")
    client.wait_answers(20, "g2")
    assert "refused" in client.stop().losses


def test_open_connections_have_their_time_at_a_restart(unit, connect):
    """Those that are not done within --stop-timeout end, and the unit does not end as failed."""
    web = unit("web").install(STORE, "TimeoutStopSec=20s", run=("--stop-timeout=4s",))
    begun(web)
    done, held = connect(web.port).ask(), connect(web.port).ask()
    assert done.answer() == held.answer() == "g1"
    restart = web.version("g2").bed.start("systemctl", "restart", web.unit)
    wait_until(lambda: "draining, 2 connections" in web.log(), 10, web.log)
    late = connect(web.port).ask()
    assert done.ask().answer() == "g1"
    done.close()
    assert held.answer() == ""
    assert late.answer() == "g2"
    assert restart.wait(20) == 0
    restart.communicate()
    assert "State 'stop-sigterm' timed out" not in web.log()
    assert "generation 1: 1 connections left after" in web.log()


def test_a_killed_launcher_refuses_nobody(unit, load):
    """systemd kills the daemon too, and starts the service again with the same sockets."""
    web = unit("web").install(STORE, "Restart=always", "RestartSec=100ms")
    main = begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=100)
    client.wait_answers(20, "g1")
    web.version("g2")
    before = time.monotonic_ns()
    web.bed.run("sh", "-c", f"kill -KILL {main}")
    client.wait_answers(20, "g2")
    assert web.show("ActiveState", "NRestarts") == ["active", "1"]
    result = client.stop()
    assert_lost_only_with(result, [(before, result.tags["g2"]["first_started_ns"])])


def test_a_stop_closes_the_door(unit, connect):
    """Nobody waits for a service that does not come back, also while open connections have their
    time.  It starts again as ever."""
    web = unit("web").install(STORE)
    begun(web)
    wait_until(lambda: web.show("NFileDescriptorStore") == "1", 10, web.log)
    held = connect(web.port).ask()
    assert held.answer() == "g1"
    stop = web.bed.start("systemctl", "stop", web.unit)
    wait_until(lambda: "draining, 1 connections" in web.log(), 10, web.log)
    assert not listens("127.0.0.1", web.port)
    with pytest.raises(ConnectionRefusedError):
        ask(web.port)
    held.close()
    assert stop.wait(20) == 0
    stop.communicate()
    assert web.show("Result", "NFileDescriptorStore") == ["success", "0"]
    begun(web, "g2")


def test_a_door_of_systemd_itself(unit, load):
    """A program that binds the address of its .socket unit gets that socket, in each generation.
    The socket survives a stop, because it is systemd's."""
    web = unit("web").install()
    web.socket(f"ListenStream=127.0.0.1:{web.port}")
    begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=100)
    client.wait_answers(20, "g1")
    web.version("g2").systemctl("reload")
    client.wait_answers(20, "g2")
    web.version("g3").systemctl("restart")
    client.wait_answers(20, "g3")
    web.systemctl("stop")
    assert listens("127.0.0.1", web.port)
    client.wait_answers(20, "g3")  # the next client has started it
    assert_nothing_lost(client.stop())
