# SPDX-License-Identifier: MIT
"""moult enable and moult disable under a real systemd: a unit is put under moult, and back."""

import re

import pytest

from harness import network
from harness.load import assert_nothing_lost
from harness.network import ask
from harness.systemd import MOULT, UNITS
from harness.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(120)]

SYSTEM = "/etc/systemd/system"
# What does not depend on the version of systemd
OLDER = pytest.mark.parametrize("bed", ["252"], indirect=True)


class Plain:
    """A service of the bed that knows nothing of moult."""

    def __init__(self, unit, name="plain"):
        self.service = unit(name)
        self.bed = self.service.bed
        self.unit = self.service.unit
        self.dropin = f"{SYSTEM}/{self.unit}.d/zz-moult.conf"

    def install(self, *lines, start=None):
        """Writes the unit: this command, and these lines of [Service]."""
        start = f"ExecStart={self.service.program}" if start is None else start
        self.bed.write(f"{UNITS}/{self.unit}", "\n".join(["[Service]", start, *lines, ""]))
        self.bed.run("systemctl", "daemon-reload")
        return self

    def moult(self, *words, expect=0):
        """Runs moult; returns what it has said."""
        result = self.bed.run(MOULT, *words, check=False)
        assert result.returncode == expect, (
            f"moult {' '.join(words)} ended with {result.returncode}\n{result.stdout}"
            f"{result.stderr}\n{self.service.log()}")
        return result.stdout + result.stderr

    def begin(self):
        """Starts it, and waits until it serves."""
        def answers():
            try:
                return ask(self.service.port).startswith("GEN g1 ")
            except ConnectionRefusedError:
                return False
        self.service.systemctl("start")
        wait_until(answers, 15, self.service.log)

    def text(self):
        return self.bed.path(self.dropin).read_text()

    def exists(self):
        return self.bed.path(self.dropin).exists()

    def close(self):
        self.bed.run("rm", "-rf", f"{SYSTEM}/{self.unit}.d")
        self.bed.run("systemctl", "daemon-reload")


@pytest.fixture
def plain(unit):
    """plain(NAME): a service that is not under moult."""
    made = []

    def make(name="plain"):
        made.append(Plain(unit, name))
        made[-1].service.version("g1")
        return made[-1]
    yield make
    for service in made:
        service.close()


class Batch:
    """What moult enable would do with units of these texts of [Service], all at once."""

    def __init__(self, bed, *texts):
        self.bed = bed
        self.names = [f"case-{number}-{network.new_port()}" for number in range(len(texts))]
        for name, text in zip(self.names, texts):
            bed.write(f"{UNITS}/{name}.service", f"[Service]\n{text}\n")
        bed.run("systemctl", "daemon-reload")
        result = bed.run(MOULT, "enable", "--dry-run", *self.names, check=False)
        self.said, self.complaints = result.stdout, result.stderr
        for name in self.names:
            bed.path(f"{UNITS}/{name}.service").unlink()
            assert not bed.path(f"{SYSTEM}/{name}.service.d").exists()

    def lines(self, number):
        """The lines that would be written for that unit, and its name for what is not the same in
        each: @RUN@ is `moult run` with its name."""
        name = self.names[number]
        assert f"{name}.service: would write" in self.said, self.complaints
        part = self.said.split(f"{name}.service: would write")[1].split(": would write")[0]
        return [line[2:].replace(f"{MOULT} run --name={name}", "@RUN@").replace(name, "NAME")
                for line in part.splitlines() if re.match(r"  [A-Z][A-Za-z]+=", line)]

    def refusal(self, number):
        start = f"moult: {self.names[number]}.service: cannot be put under moult: "
        found = [line for line in self.complaints.splitlines() if line.startswith(start)]
        assert found, self.said
        return found[0][len(start):]


# ---- what is written ----

COMMANDS = (
    # A line that goes on, comments in between, and blanks that belong to a word
    ("ExecStart=/bin/sleep \\\n# a comment\n  ; and another\n  '1  2' \"a'b\" $A ${B} %i %%\\\n  end",
     "", "/bin/sleep    '1  2' \"a'b\" $A ${B} %i %%   end"),
    # An empty value forgets what was there before
    ("ExecStart=/bin/true\nExecStart=\nExecStart = /bin/sleep 7", "", "/bin/sleep 7"),
    # Prefixes stay; the name that "@" gives cannot
    ("ExecStart=-:/bin/sleep 7", "-:", "/bin/sleep 7"),
    ("ExecStart=@/bin/sleep other 7", "", "/bin/sleep 7"),
    # What is outside of [Service] does not count
    ("ExecStart=/bin/sleep 7\n[Unit]\nExecStart=/bin/true", "", "/bin/sleep 7"),
)


def test_the_command_line_is_kept_as_it_is_written(bed):
    """Quotes, variables and specifiers mean in the new line what they meant in the old one."""
    batch = Batch(bed, *(written for written, _, _ in COMMANDS))
    for number, (_, prefix, kept) in enumerate(COMMANDS):
        assert f"ExecStart={prefix}@RUN@ --stop-timeout=5s -- {kept}" in batch.lines(number)


DIRECTIVES = (
    # A daemon in the foreground that says nothing: all that it needs
    ("", ["Type=notify", "ExecStart=", "ExecStart=@RUN@ --stop-timeout=5s -- /bin/sleep 7",
          f"ExecReload={MOULT} upgrade --quiet NAME", "KillMode=mixed",
          "FileDescriptorStoreMax=4096"]),
    ("PIDFile=/run/x y.pid",
     ["PIDFile=", 'ExecStart=@RUN@ --stop-timeout=5s "--aside=/run/x y.pid" -- /bin/sleep 7']),
    ("Type=notify\nNotifyAccess=all\nKillMode=process",
     ["NotifyAccess=main", "ExecStart=@RUN@ --ready=notify --stop-timeout=5s -- /bin/sleep 7"]),
    ("KillSignal=SIGQUIT",
     ["KillSignal=SIGTERM",
      "ExecStart=@RUN@ --stop-signal=SIGQUIT --stop-timeout=5s -- /bin/sleep 7"]),
    # What prepares a reload stays; what tells the daemon goes
    ("ExecReload=/bin/check -c\nExecReload=/bin/kill -HUP $MAINPID",
     ["ExecReload=", "ExecReload=/bin/check -c", f"ExecReload={MOULT} upgrade --quiet NAME"]),
    ("ExecReload=/bin/prepare $A ; \\\n  kill -HUP $MAINPID",
     ["ExecReload=", "ExecReload=/bin/prepare $A", f"ExecReload={MOULT} upgrade --quiet NAME"]),
    ("ExecStop=/bin/tell-others\nExecStop=-/bin/daemonctl stop",
     ["ExecStop=", "ExecStop=/bin/tell-others"]),
    ("CapabilityBoundingSet=CAP_KILL CAP_CHOWN",
     ["CapabilityBoundingSet=CAP_SYS_PTRACE", "CapabilityBoundingSet=CAP_DAC_OVERRIDE"]),
    ("CapabilityBoundingSet=~CAP_KILL", ["CapabilityBoundingSet=CAP_KILL"]),
    ("RestrictAddressFamilies=AF_INET",
     ["RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=AF_NETLINK"]),
    ("NoExecPaths=/\nExecPaths=/opt",
     [f"ExecPaths={MOULT} /usr/local/lib/moult/libmoult.so /usr/bin/systemctl"]),
    ("User=nobody\nProtectProc=invisible", ["ProtectProc=default", "RuntimeDirectory=moult-NAME"]),
    ("ProtectSystem=strict", ["RuntimeDirectory=moult-NAME"]),
)
NO_CHANGE = """Type=notify\nKillMode=mixed\nCapabilityBoundingSet=~CAP_CHOWN\nUser=nobody
RestrictAddressFamilies=~AF_INET6\nRuntimeDirectory=x\nFileDescriptorStoreMax=9999
ExecStart=/bin/sleep 7"""


def test_directives_that_stand_in_the_way(bed):
    """Lines of a unit, and what becomes of them; what needs no change gets none."""
    batch = Batch(bed, *(f"{written}\nExecStart=/bin/sleep 7" for written, _ in DIRECTIVES),
                  NO_CHANGE)
    plain = batch.lines(0)
    for number, (written, expected) in enumerate(DIRECTIVES):
        keys = {line.split("=")[0] for line in expected}
        lines = [line for line in batch.lines(number)
                 if line.split("=")[0] in keys and (line in expected or line not in plain)]
        assert sorted(lines) == sorted(expected), written
    assert [line.split("=")[0] for line in batch.lines(len(DIRECTIVES))] == [
        "ExecStart", "ExecStart", "ExecReload"]


REFUSALS = (
    ("Type=oneshot\nExecStart=/bin/true", "no process of it stays"),
    ("Type=dbus\nBusName=a.b\nExecStart=/bin/sleep 1", "a name on the bus"),
    ("Type=idle\nExecStart=/bin/sleep 1", "Type= is idle"),
    ("Type=oneshot\nExecStart=/bin/true\nExecStart=/bin/true", "several ExecStart="),
    (f"ExecStart={MOULT} run -- /bin/sleep 1", "it runs moult already"),
    ("ExecStart=/sbin/ldconfig", "moult check: /sbin/ldconfig is statically linked"),
    ("ExecStart=/bin/no-such-program", "moult check: /bin/no-such-program"),
    ("ExecStart=/usr/bin/flock /run/l /bin/sleep 1", "moult check: /usr/bin/flock"),
    ("RootDirectory=/opt\nExecStart=/bin/sleep 1", "moult is not in there"),
    ("StandardInput=socket\nExecStart=/bin/sleep 1", "each connection has a process of its own"),
    ("DynamicUser=yes\nRuntimeDirectoryPreserve=yes\nExecStart=/bin/sleep 1", "a symbolic link"),
    ("Nonsense=1", "systemd cannot load the unit"),
)


def test_what_cannot_work_is_refused(bed):
    """With the reason."""
    batch = Batch(bed, *(text for text, _ in REFUSALS))
    for number, (_, words) in enumerate(REFUSALS):
        assert words in batch.refusal(number), batch.refusal(number)
    for name, words in (("no-such-unit", "no such unit"), ("user@", "is a template"),
                        ("dbus.socket", "services only"), ("../x", "no name of a unit")):
        result = bed.run(MOULT, "enable", name, check=False)
        assert result.returncode == 1 and words in result.stderr


@OLDER
def test_none_of_several_units_is_changed_if_one_cannot_be(plain):
    good, bad = plain("good").install(), plain("bad").install("Type=oneshot")
    said = good.moult("enable", good.unit, bad.unit, expect=1)
    assert "nothing has been changed" in said
    assert not good.exists() and not bad.exists()
    bad.install()
    good.moult("enable", good.unit, bad.unit)
    assert good.exists() and bad.exists()
    good.moult("disable", good.unit, bad.unit)
    assert not good.exists() and not bad.exists()


@OLDER
def test_only_a_file_of_its_own_in_a_directory_of_root(plain):
    """A link, a directory of another user, or a file that somebody else has written: all stay."""
    service = plain().install()
    directory = service.bed.path(service.dropin).parent
    service.bed.run("mkdir", "/run/elsewhere")
    directory.symlink_to("/run/elsewhere")
    assert "symbolic link" in service.moult("enable", service.unit, expect=1)
    directory.unlink()
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    assert "not of root alone" in service.moult("enable", service.unit, expect=1)
    directory.chmod(0o755)
    service.bed.write(service.dropin, "[Service]\n")
    for verb in ("enable", "disable"):
        assert "somebody else" in service.moult(verb, service.unit, expect=1)
    assert service.text() == "[Service]\n"
    assert [path.name for path in directory.iterdir()] == ["zz-moult.conf"]
    service.bed.run("rmdir", "/run/elsewhere")


@OLDER
def test_a_dropin_with_a_later_name_wins_and_is_named(plain):
    """override.conf of `systemctl edit` is read before; what is read after is an error."""
    service = plain().install()
    own = f"ExecStart=\nExecStart={service.service.program} --more\n"
    service.bed.write(f"{SYSTEM}/{service.unit}.d/override.conf", "[Service]\n" + own)
    service.moult("enable", service.unit)
    assert f"-- {service.service.program} --more\n" in service.text()
    service.moult("disable", service.unit)
    service.bed.write(f"{SYSTEM}/{service.unit}.d/zzz.conf", "[Service]\n" + own)
    assert "another drop-in" in service.moult("enable", service.unit, expect=1)
    assert not service.exists()


# ---- a service that runs ----

def test_enable_reload_restart_disable(plain, load):
    """The whole life, under load: the last plain restart, an upgrade, one that fails, a restart
    for which clients wait, and the way back."""
    service = plain("life").install("Restart=on-failure")
    web, port = service.service, service.service.port
    service.begin()
    said = service.moult("enable", web.name)
    assert "still runs without moult" in said
    assert service.text().startswith("# Written by `moult enable")
    assert service.bed.path(service.dropin).stat().st_mode & 0o777 == 0o644
    assert "runs under moult" in service.moult("enable", "--now", web.name)
    assert web.show("Type", "ActiveState") == ["notify", "active"]

    client = load(f"127.0.0.1:{port}", rate=100, persistent=4)
    client.wait_answers(20, "g1")
    web.version("g2").systemctl("reload")
    client.wait_answers(20, "g2")
    web.version("bad", "--fail=exit1").systemctl("reload", expect=1)
    client.wait_answers(20, "g2")
    client.close_persistent()
    web.version("g3").systemctl("restart")
    client.wait_answers(20, "g3")
    assert_nothing_lost(client.stop())

    assert "is up to date" in service.moult("enable", web.name)
    said = service.moult("disable", "--now", web.name)
    assert not service.bed.path(service.dropin).parent.exists()
    assert web.show("Type", "ActiveState") == ["simple", "active"]
    assert "is not enabled" in service.moult("disable", web.name)


def test_a_service_that_does_not_start_under_moult_is_started_as_before(plain):
    """Nothing is left half done: the drop-in is gone, and the service serves."""
    service = plain("broken").install()
    web = service.service
    service.begin()
    web.version("g1", before="! grep -q moult /proc/$PPID/comm || exit 3")
    said = service.moult("enable", "--now", web.name, expect=1)
    assert "its drop-in is taken back" in said
    assert not service.bed.path(service.dropin).parent.exists()
    web.wait("ActiveState", "active")
    assert web.show("Type") == "simple"


def test_nginx_of_debian(bed, load):
    """The unit as the package has it: Type=forking, a pid file, a stop that cuts connections."""
    if bed.run("systemctl", "cat", "nginx.service", check=False).returncode:
        pytest.skip("no nginx.service here")
    port = network.new_port()
    bed.write("/etc/nginx/nginx.conf",
              "events {}\nhttp { access_log off; server { listen 127.0.0.1:%d; "
              "return 200 'GEN g1 '; } }\n" % port)
    try:
        bed.run("systemctl", "start", "nginx")
        assert "runs under moult" in bed.run(MOULT, "enable", "--now", "nginx").stdout
        client = load(f"127.0.0.1:{port}", rate=100, mode="http", tag_after="GEN ")
        client.wait_answers(20, "g1")
        config = bed.path("/etc/nginx/nginx.conf")
        config.write_text(config.read_text().replace("g1", "g2"))
        bed.run("systemctl", "reload", "nginx")
        client.wait_answers(20, "g2")
        bed.run("systemctl", "restart", "nginx")
        client.wait_answers(20, "g2")
        assert_nothing_lost(client.stop())
        bed.run(MOULT, "disable", "--now", "nginx")
        assert bed.run("systemctl", "show", "-P", "Type", "nginx").stdout == "forking\n"
    finally:
        bed.run("rm", "-rf", f"{SYSTEM}/nginx.service.d")
        bed.run("systemctl", "daemon-reload")
        bed.run("systemctl", "stop", "nginx", check=False)
