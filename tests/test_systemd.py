# SPDX-License-Identifier: MIT
"""A service under a real systemd: Type=notify with a synchronous ExecReload=."""

import time

import pytest

from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(300)]


def test_reload_upgrades(unit, load):
    """The unit is active when it serves; each reload returns when the next version serves."""
    web = unit("web").version("g1").install()
    web.systemctl("start")
    assert ask(web.port).startswith("GEN g1 ")
    main = web.show("MainPID")
    client = load(f"127.0.0.1:{web.port}", rate=200, persistent=4)
    client.wait_answers(50, "g1")
    switched = []
    for tag in ("g2", "g3"):
        web.version(tag).systemctl("reload")
        switched.append(time.monotonic_ns())
        client.wait_answers(50, tag)
    assert web.show("MainPID", "ActiveState", "SubState", "NRestarts") == [
        main, "active", "running", "0"]
    assert web.show("StatusText").startswith("generation 3 serves")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ("g1", "g2", "g3"), switched)
    web.systemctl("stop")
    assert web.show("Result", "ActiveState") == ["success", "inactive"]
