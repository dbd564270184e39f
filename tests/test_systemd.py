# SPDX-License-Identifier: MIT
"""A service under a real systemd: Type=notify with a synchronous ExecReload=.

Each test runs on each version of tests/beds.
"""

import time

import pytest

from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask
from harness.no_overlap import connect
from harness.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(300)]

ACTIVE = ["active", "running"]


def states(web):
    return web.show("ActiveState", "SubState")


def begun(web, tag="g1"):
    """Starts the unit with that version of its program; returns the pid of the launcher."""
    web.version(tag).systemctl("start")
    assert ask(web.port).startswith(f"GEN {tag} ")
    return web.show("MainPID")


def test_reload_upgrades(unit, load):
    """The unit is active when it serves; each reload returns when the next version serves."""
    web = unit("web").install()
    main = begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=200, persistent=4)
    client.wait_answers(50, "g1")
    switched = []
    for tag in ("g2", "g3"):
        web.version(tag).systemctl("reload")
        switched.append(time.monotonic_ns())
        client.wait_answers(50, tag)
    assert states(web) == ACTIVE and web.show("MainPID", "NRestarts") == [main, "0"]
    assert web.show("StatusText").startswith("generation 3 serves")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ("g1", "g2", "g3"), switched)
    web.systemctl("stop")
    assert web.show("Result", "ActiveState") == ["success", "inactive"]


def test_a_reload_that_fails_says_so(unit, load):
    """Its exit status is not 0 and the status of the unit has the reason.  The old version serves,
    and the next reload can be a good one."""
    web = unit("web").install()
    main = begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=100, persistent=2)
    client.wait_answers(20, "g1")
    web.version("bad", "--fail=exit1").systemctl("reload", expect=1)
    status = web.show("StatusText")
    assert "exited with status 1 before it was ready" in status, status
    assert status.endswith("generation 1 serves"), status
    assert web.show("StatusErrno") == "22"
    assert states(web) == ACTIVE and web.show("MainPID", "NRestarts") == [main, "0"]
    client.wait_answers(20, "g1")
    web.version("g2").systemctl("reload")
    client.wait_answers(20, "g2")
    assert web.show("StatusText").startswith("generation 3 serves")
    assert_nothing_lost(client.stop())


def test_a_first_start_that_fails_is_a_failed_start(unit):
    """The journal of the unit has the reason, and nothing is left."""
    web = unit("web").install().version("bad", "--fail=exit1")
    web.systemctl("start", expect=1)
    assert web.show("ActiveState", "Result") == ["failed", "exit-code"]
    assert "exited with status 1 before it was ready" in web.log()
    assert web.show("ControlGroup") == ""


SAYS = """
systemd-notify --ready --status="{tag} works" STOPPING=1 RELOADING=1 MAINPID=$$ ERRNO=5
trap 'systemd-notify STOPPING=1; kill $daemon; wait' TERM
"""


def test_what_a_daemon_says_is_not_what_the_service_is(unit, load):
    """A daemon's READY, STOPPING, RELOADING and MAINPID mean its generation.  If systemd heard
    them, the unit would end with the first generation, and have another main process."""
    web = unit("web").install("TimeoutStopSec=1s")
    web.version("g1", "& daemon=$!; wait", before=SAYS.format(tag="g1")).systemctl("start")
    main = web.show("MainPID")
    web.wait("StatusText", "generation 1: g1 works")
    client = load(f"127.0.0.1:{web.port}", rate=100, persistent=2)
    client.wait_answers(20, "g1")
    web.version("g2", "& daemon=$!; wait", before=SAYS.format(tag="g2"))
    web.systemctl("reload")
    client.wait_answers(20, "g2")
    web.wait("StatusText", "generation 2: g2 works")
    client.close_persistent()
    wait_until(lambda: "generation 1: drained" in web.log(), 15, web.log, pause=0.2)
    time.sleep(1.5)  # longer than TimeoutStopSec=
    assert states(web) == ACTIVE and web.show("MainPID", "StatusErrno") == [main, "0"]
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    web.systemctl("stop")
    assert web.show("Result") == "success"


def test_the_watchdog_is_fed_while_the_service_answers(unit):
    """A launcher that is stopped does not: systemd ends the unit."""
    web = unit("web").install("WatchdogSec=1s")
    main = begun(web)
    web.version("g2", "--start-delay=1500").systemctl("reload")
    assert states(web) == ACTIVE and web.show("MainPID", "NRestarts") == [main, "0"]
    web.bed.run("sh", "-c", f"kill -STOP {main}")
    web.wait("Result", "watchdog")


FEEDS = "(while systemd-notify WATCHDOG=1; do sleep 0.2; done) & echo $! >/run/feeder"


def test_a_daemon_with_a_watchdog_is_asked_itself(unit):
    """When it hangs, systemd ends the unit although the launcher works."""
    web = unit("web").install("WatchdogSec=1s").version("g1", before=FEEDS)
    web.systemctl("start")
    time.sleep(2.5)
    assert states(web) == ACTIVE, web.log()
    web.bed.run("sh", "-c", "kill -STOP $(cat /run/feeder)")
    web.wait("Result", "watchdog")


def test_what_takes_long_is_not_cut_off(unit):
    """A start and a reload may take longer than TimeoutStartSec=, for systemd hears of them."""
    web = unit("web").install("TimeoutStartSec=2s").version("g1", "--start-delay=3500")
    web.systemctl("start")
    web.version("g2", "--start-delay=3500").systemctl("reload")
    assert ask(web.port).startswith("GEN g2 ")
    assert states(web) == ACTIVE


def test_a_stop_that_drains_longer_than_its_timeout(unit, connect):
    """systemd waits while connections are open, and the unit does not end as failed."""
    web = unit("web").install("TimeoutStopSec=2s")
    begun(web)
    held = connect(web.port).ask()
    assert held.answer() == "g1"
    stop = web.bed.start("systemctl", "stop", web.unit)
    web.wait("ActiveState", "deactivating")
    time.sleep(4)  # longer than TimeoutStopSec=
    assert held.ask().answer() == "g1"
    held.close()
    assert stop.wait(20) == 0
    assert web.show("ActiveState", "Result") == ["inactive", "success"], web.log()
    stop.communicate()


def test_systemd_is_executed_anew(unit, load, bed):
    web = unit("web").install()
    main = begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=100, persistent=2)
    client.wait_answers(20, "g1")
    bed.run("systemctl", "daemon-reexec")
    web.version("g2").systemctl("reload")
    client.wait_answers(20, "g2")
    assert states(web) == ACTIVE and web.show("MainPID", "NRestarts") == [main, "0"]
    assert_nothing_lost(client.stop())


@pytest.mark.parametrize("bed", ["257"], indirect=True)
def test_notify_reload(unit, load):
    """The other form, from 253 on: systemd sends SIGHUP.  Its reload hides a failure (exit status
    0); the status of the unit tells it."""
    web = unit("web").install(kind="notify-reload")
    main = begun(web)
    client = load(f"127.0.0.1:{web.port}", rate=100, persistent=2)
    client.wait_answers(20, "g1")
    web.version("g2").systemctl("reload")
    switched = time.monotonic_ns()
    client.wait_answers(20, "g2")
    web.version("bad", "--fail=exit1").systemctl("reload", expect=0)
    assert "exited with status 1 before it was ready" in web.show("StatusText")
    client.wait_answers(20, "g2")
    assert states(web) == ACTIVE and web.show("MainPID", "NRestarts") == [main, "0"]
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ("g1", "g2"), [switched])
