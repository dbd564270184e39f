# SPDX-License-Identifier: MIT
"""What Debian's packages and needrestart do to a service under moult, with the hooks of scripts/hooks.

Debian's own deb-systemd-invoke and invoke-rc.d ask the hook; the needrestart.conf is read as
needrestart reads it, in Perl.
"""

import pytest

from harness import build
from harness.load import assert_nothing_lost
from harness.systemd import MOULT

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(120),
              pytest.mark.parametrize("bed", ["252"], indirect=True)]

HOOKS = build.ROOT / "scripts" / "hooks"
POLICY = "/usr/sbin/policy-rc.d"
NEEDRESTART = """
our %nrconf = (restart_d => '/opt/restart.d');
eval do { local(@ARGV, $/) = '/opt/moult.conf'; <> };
die $@ if $@;
print $nrconf{restart_d};
"""


@pytest.fixture
def policy(bed):
    bed.put(HOOKS / "policy-rc.d", POLICY)
    yield
    bed.path(POLICY).unlink()


@pytest.fixture
def web(unit):
    service = unit("web").install().version("g1")
    service.systemctl("start")
    return service


def script(bed, name, words, *arguments):
    """Runs a maintainer script."""
    bed.write(f"/opt/{name}", f"#!/bin/sh\n{words}\n", 0o755)
    return bed.run("sh", f"/opt/{name}", *arguments)


def test_a_restart_by_a_package_is_an_upgrade(bed, policy, web, unit, load):
    """Of the service under moult; another service of the same call is restarted, and one that does
    not run is not started by the hook."""
    other = unit("other").install(exec_start="/bin/sleep 1000", kind="simple")
    other.systemctl("start")
    first = other.show("MainPID")
    client = load(f"127.0.0.1:{web.port}", rate=100, persistent=4)
    client.wait_answers(20, "g1")
    main = web.show("MainPID")
    web.version("g2")
    script(bed, "web.postinst", f"deb-systemd-invoke restart {web.unit} {other.unit}",
           "configure", "1.0")
    client.wait_answers(20, "g2")
    assert web.show("MainPID") == main
    assert other.show("MainPID") not in (first, "0")
    web.version("g3")
    bed.run("invoke-rc.d", "--skip-systemd-native", web.name, "restart", check=False)
    web.version("bad", "--fail=exit1")
    said = script(bed, "web.postinst", f"deb-systemd-invoke restart {web.unit}", "configure", "1")
    assert "has failed: the old version serves on" in said.stderr
    assert web.show("MainPID") == main
    client.close_persistent()
    assert_nothing_lost(client.stop())


def test_a_stop_and_a_start_around_an_upgrade_are_one_upgrade(bed, policy, web, load):
    """A package that stops its service before its files are replaced, and starts it afterwards."""
    client = load(f"127.0.0.1:{web.port}", rate=100, persistent=4)
    client.wait_answers(20, "g1")
    main = web.show("MainPID")
    script(bed, "web.prerm", f"deb-systemd-invoke stop {web.unit}", "upgrade", "2.0")
    web.version("g2")
    script(bed, "web.postinst", f"deb-systemd-invoke start {web.unit}", "configure", "1.0")
    client.wait_answers(20, "g2")
    # A start alone changes nothing
    web.version("g3")
    script(bed, "web.postinst", f"deb-systemd-invoke start {web.unit}", "configure", "1.0")
    assert web.show("StatusText").startswith("generation 2 serves")
    assert web.show("MainPID") == main
    client.close_persistent()
    assert_nothing_lost(client.stop())
    script(bed, "web.prerm", f"deb-systemd-invoke stop {web.unit}", "remove")
    assert web.show("ActiveState") == "inactive"


def test_needrestart_upgrades_what_is_enabled(bed, unit, load):
    """The hook's directory keeps the scripts that were there, and has one for the enabled unit."""
    web = unit("web").version("g1")
    web.install(exec_start=web.program, kind="simple")
    bed.put(HOOKS / "needrestart", "/usr/lib/moult/needrestart")
    bed.put(HOOKS / "needrestart.conf", "/opt/moult.conf")
    bed.write("/opt/restart.d/other.service", "#!/bin/sh\n", 0o755)
    try:
        assert bed.run("perl", "-e", NEEDRESTART).stdout == "/opt/restart.d"
        bed.run(MOULT, "enable", web.name)
        web.systemctl("start")
        directory = bed.run("perl", "-e", NEEDRESTART).stdout
        assert bed.run("ls", directory).stdout.split() == sorted(["other.service", web.unit])
        client = load(f"127.0.0.1:{web.port}", rate=100)
        client.wait_answers(20, "g1")
        web.version("g2")
        bed.run(f"{directory}/{web.unit}")
        client.wait_answers(20, "g2")
        assert_nothing_lost(client.stop())
        web.version("bad", "--fail=exit1")
        assert bed.run(f"{directory}/{web.unit}", check=False).returncode == 1
    finally:
        bed.run(MOULT, "disable", web.name)
