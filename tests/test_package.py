# SPDX-License-Identifier: MIT
"""The Debian package: what is in it, and its life under running instances."""

import os
import re
import subprocess

import pytest

from harness import build, network
from harness import package as packages
from harness.load import assert_nothing_lost
from harness.network import ask

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(700)]

LAUNCHER, LIBRARY = "/usr/bin/moult", "/usr/lib/moult/libmoult.so"
POLICY, OUR_POLICY = "/usr/sbin/policy-rc.d", "/usr/lib/moult/policy-rc.d"
WAITER = "/opt/package-waiter"
NGINX = """
pid /run/nginx.pid;
events {}
http {
    access_log off;
    server { listen 127.0.0.1:%d; return 200 'GEN %s '; }
}
"""


@pytest.fixture(scope="session")
def package(built):
    return packages.build_package()


@pytest.fixture(scope="session")
def next_package(package, tmp_path_factory):
    """A package of the next version."""
    return packages.variant(package, tmp_path_factory.mktemp("next"), "0.1.1~test")


@pytest.fixture(scope="session")
def other_package(package, tmp_path_factory):
    """A package whose library does not understand the launcher of the others."""
    return packages.variant(package, tmp_path_factory.mktemp("other"), "0.1.2~test", contract=9)


def test_lintian_has_no_complaint(package):
    """Of the binary packages and of the source."""
    changes = next(package.parent.glob("moult_*.changes"))
    found = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning,info",
                            "--display-info", changes], text=True, capture_output=True, timeout=200)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_package_has_what_the_launcher_looks_for(package):
    names = packages.names(package)
    assert {LAUNCHER, LIBRARY, OUR_POLICY, "/usr/lib/moult/needrestart",
            "/etc/needrestart/conf.d/moult.conf", "/usr/share/man/man8/moult.8.gz",
            "/lib/systemd/system/moult@.service"} <= names.keys()
    # the end of the list of files is a place for what a build leaves behind
    strange = [name for name in names if not name.endswith("/") and not re.match(
        r"/usr/bin/moult$|/usr/lib/moult/|/usr/share/(doc/moult|man/man8)/|/lib/systemd/system/|"
        r"/etc/needrestart/", name)]
    assert not strange
    assert all(owner == "root/root" and not re.match(r".{5}w|.{8}w|...[sS]|.{6}[sS]", mode)
               for mode, owner in names.values())


def test_the_version_is_that_of_the_program(package):
    said = subprocess.run([build.MOULT, "--version"], text=True, capture_output=True).stdout
    assert package.name.split("_")[1] == said.split()[1]


class System:
    """dpkg and systemctl in a bed, and one instance of moult@.service."""

    def __init__(self, bed):
        self.bed = bed
        self.port = network.new_port()
        self.name = f"web{self.port}"  # the journal has those of earlier tests, too
        self.unit = f"moult@{self.name}.service"
        bed.put(build.program("waiter"), WAITER)

    def dpkg(self, *words, expect=0):
        """The trees of some beds have no list of installed packages."""
        words = ["dpkg", "--force-depends", "--force-unsafe-io", "--no-triggers", *words]
        result = self.bed.run(*words, check=False)
        assert result.returncode == expect, f"{result.returncode}: {result.stdout}{result.stderr}"
        return result.stderr

    def install(self, package):
        self.bed.put(package, f"/tmp/{package.name}")
        return self.dpkg("--install", f"/tmp/{package.name}")

    def state(self):
        return self.bed.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", "moult",
                            check=False).stdout

    def configure(self, tag):
        """The file that the template unit reads."""
        self.bed.write(f"/etc/moult/{self.name}.conf",
                       f"MOULT_COMMAND={WAITER} --tag {tag} --wait=epoll --nonblocking"
                       f" --port={self.port}\nMOULT_OPTIONS=--ready-timeout=20s\n")

    def systemctl(self, *words, expect=0):
        result = self.bed.run("systemctl", *words, self.unit, check=False)
        assert result.returncode == expect, (
            f"{' '.join(words)} ended with {result.returncode}: {result.stderr}"
            f"{self.bed.journal(self.unit)}")

    def show(self, name):
        return self.bed.run("systemctl", "show", "--value", f"--property={name}",
                            self.unit).stdout.strip()

    def alternatives(self):
        return self.bed.run("update-alternatives", "--query", "policy-rc.d", check=False).stdout

    def close(self):
        self.bed.run("systemctl", "kill", "--signal=KILL", self.unit, check=False)
        self.bed.run("systemctl", "stop", self.unit, check=False)
        self.bed.run("systemctl", "reset-failed", self.unit, check=False)
        if self.state():
            self.dpkg("--purge", "moult")


@pytest.fixture
def system(bed):
    made = System(bed)
    yield made
    made.close()


def files(bed, *roots):
    """All paths below these directories."""
    return {os.path.join(folder, name) for root in roots
            for folder, folders, names in os.walk(bed.path(root)) for name in folders + names}


def test_instances_go_on_while_their_package_is_upgraded(system, package, next_package,
                                                         other_package, load):
    """They keep their launcher.  An upgrade loads the new library if that understands the launcher,
    and is refused otherwise."""
    system.install(package)
    system.configure("g1")
    system.systemctl("start")
    main = system.show("MainPID")
    client = load(f"127.0.0.1:{system.port}", rate=200, persistent=4)
    client.wait_answers(20, "g1")
    system.configure("g2")
    system.systemctl("reload")
    client.wait_answers(20, "g2")

    assert f"pid {main} ({system.unit}) goes on" in system.install(next_package)
    system.configure("g3")
    system.systemctl("reload")
    client.wait_answers(20, "g3")

    system.install(other_package)
    system.configure("g4")
    system.systemctl("reload", expect=1)
    assert "contract 9 of the library" in system.bed.journal(system.unit)
    client.wait_answers(20, "g3")

    system.install(next_package)
    system.systemctl("reload")
    client.wait_answers(20, "g4")
    assert system.show("MainPID") == main and system.show("NRestarts") == "0"
    assert_nothing_lost(client.stop())
    system.systemctl("restart")
    assert ask(system.port).startswith("GEN g4 ")
    assert os.readlink(system.bed.path(f"/proc/{system.show('MainPID')}/exe")) == LAUNCHER


def test_the_package_is_not_removed_while_a_daemon_needs_it(system, package, load):
    """Purged, it leaves nothing."""
    bed = system.bed
    before = files(bed, "/etc", "/run/systemd", "/var/lib/dpkg/alternatives")
    system.install(package)
    assert "Value: " + OUR_POLICY in system.alternatives()
    dropin = "/etc/systemd/system/stopped.service.d/zz-moult.conf"
    bed.write(dropin, "# Written by `moult enable stopped.service`.\n[Service]\n")
    system.configure("g1")
    system.systemctl("enable", "--now")
    client = load(f"127.0.0.1:{system.port}", rate=200, persistent=4)
    client.wait_answers(20, "g1")
    said = system.dpkg("--remove", "moult", expect=1)
    assert f"pid {system.show('MainPID')} ({system.unit}): {LAUNCHER} run" in said
    assert system.state() == "installed" and bed.path(dropin).exists()
    system.configure("g2")
    system.systemctl("reload")
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())

    system.systemctl("stop")
    assert "stopped.service: starts without moult" in system.dpkg("--remove", "moult")
    assert not bed.path(dropin).parent.exists() and not system.alternatives()
    assert bed.path(f"/etc/moult/{system.name}.conf").exists()
    assert system.show("LoadState") == "not-found"
    system.dpkg("--purge", "moult")
    assert not system.state() and not bed.path("/run/moult").exists()
    left = files(bed, "/etc", "/run/systemd", "/var/lib/dpkg/alternatives") - before
    assert not {path for path in left if "moult" in path or "policy" in path}
    assert not [name for name in packages.names(package)
                if "moult" in name and bed.path(name).exists()]


def test_an_administrators_policy_stays(system, package):
    """It is no link of update-alternatives.  The package says that it does not ask moult's policy."""
    text = "#!/bin/sh\nexit 101\n"
    system.bed.write(POLICY, text, 0o755)
    assert "is another policy than moult's" in system.install(package)
    assert system.bed.path(POLICY).read_text() == text
    system.dpkg("--remove", "moult")
    assert system.bed.path(POLICY).read_text() == text
    system.bed.path(POLICY).unlink()


@pytest.mark.parametrize("bed", ["252"], indirect=True)
def test_a_stock_service_from_the_installation_to_the_removal(system, package, next_package, load):
    """nginx is put under moult; its reload, and the restart that a package asks for, are upgrades."""
    bed = system.bed
    bed.write("/etc/nginx/nginx.conf", NGINX % (system.port, "g1"))
    system.install(package)
    bed.run("systemctl", "start", "nginx")
    try:
        bed.run(LAUNCHER, "enable", "--now", "nginx")
        main = bed.run("systemctl", "show", "-P", "MainPID", "nginx").stdout.strip()
        client = load(f"127.0.0.1:{system.port}", mode="http", tag_after="GEN ", rate=200)
        client.wait_answers(20, "g1")
        bed.write("/etc/nginx/nginx.conf", NGINX % (system.port, "g2"))
        bed.run("systemctl", "reload", "nginx")
        client.wait_answers(20, "g2")
        system.install(next_package)
        bed.write("/etc/nginx/nginx.conf", NGINX % (system.port, "g3"))
        assert "upgraded, not restarted" in bed.run("deb-systemd-invoke", "restart",
                                                    "nginx.service").stderr
        client.wait_answers(20, "g3")
        assert bed.run("systemctl", "show", "-P", "MainPID", "nginx").stdout.strip() == main
        said = system.dpkg("--remove", "moult", expect=1)
        assert f"pid {main} (nginx.service)" in said and "moult disable --now UNIT" in said
        assert_nothing_lost(client.stop())
        bed.run(LAUNCHER, "disable", "--now", "nginx")
        system.dpkg("--remove", "moult")
        bed.run("systemctl", "restart", "nginx")
    finally:
        bed.run("rm", "-rf", "/etc/systemd/system/nginx.service.d")
        bed.run("systemctl", "daemon-reload")
        bed.run("systemctl", "stop", "nginx", check=False)
