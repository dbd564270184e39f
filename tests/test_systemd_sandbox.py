# SPDX-License-Identifier: MIT
"""Services with every directive of a sandbox at once, under a real systemd.

tests/test_sandbox.py has the directives one by one, without systemd.
"""

import pytest

from harness.load import assert_nothing_lost
from harness.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(300)]

BOTH = ["RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "ProtectSystem=strict",
        "ProcSubset=pid", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service",
        "NoNewPrivileges=yes", "RestrictNamespaces=yes", "LockPersonality=yes", "PrivateTmp=yes",
        "PrivateDevices=yes", "ProtectHome=yes", "SystemCallArchitectures=native"]
# The program changes its user itself; or systemd does that for the launcher.
ROOT = ["CapabilityBoundingSet=CAP_SETUID CAP_SETGID"]
USER = ["User=nobody", "CapabilityBoundingSet=", "PrivateUsers=yes", "ProtectProc=invisible",
        "SystemCallFilter=~@privileged @resources"]


def wait_said(web, text):
    wait_until(lambda: text in web.log(), 15, lambda: f"no {text!r}:\n{web.log()}", pause=0.1)


@pytest.mark.parametrize("lines, options, about", [
    (ROOT, ["--habit=drop-uid"], "about "), (USER, [], ""),
], ids=["root", "user"])
def test_a_drain_ends_with_the_connections(unit, load, lines, options, about):
    """An upgrade loses nobody, and the old version stays for its clients and no longer."""
    web = unit("web")
    web.install(*BOTH, *lines, f"RuntimeDirectory={web.name}", run=["--drain-timeout=50s"])
    web.version("g1", *options).systemctl("start")
    client = load(f"127.0.0.1:{web.port}", rate=50, persistent=3, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 3)
    web.version("g2", *options).systemctl("reload")
    wait_said(web, f"generation 1: draining, {about}")
    newer = load(f"127.0.0.1:{web.port}", rate=0, persistent=4, persistent_every=20)
    newer.wait(lambda report: report["persistent"]["answered"] >= 8)
    before = client.report()["persistent"]["answered"]
    client.wait(lambda report: report["persistent"]["answered"] >= before + 9)
    assert "generation 1: drained" not in web.log()
    client.close_persistent()
    wait_said(web, "generation 1: drained")
    assert_nothing_lost(client.stop())
    assert not newer.stop().losses
    assert "sandbox: no netlink socket" in web.log()
    web.systemctl("stop")
    assert web.show("Result", "ActiveState") == ["success", "inactive"]
