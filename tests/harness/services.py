# SPDX-License-Identifier: MIT
"""nginx as a service "web", by the examples: the same verbs for every init system."""

import json
import pathlib
import signal
import socket
import subprocess

from harness.machine import EXAMPLES
from harness.network import new_port
from harness.waiting import wait_until


STOCK = pathlib.Path("/etc/init.d/nginx")


def changed_script():
    return subprocess.run(["sed", "-f", EXAMPLES / "stock-init.d.sed", STOCK], check=True,
                          capture_output=True, text=True).stdout


class Service:
    """reload() returns when the tool has asked for the upgrade; upgrade() when that is over."""

    name = "web"
    failure = "exited with status 1 before it was ready"

    def __init__(self, machine):
        self.machine = machine

    def upgrade(self, expect=0):
        return self.machine.moult("upgrade", self.name, expect=expect)

    def wait_upgraded(self, count):
        """Until so many upgrades are complete: reload() may only have begun one."""
        def complete():
            status = self.machine.moult("status", self.name, "--json", expect=0).stdout
            return json.loads(status)["upgrades"]["completed"] == count
        wait_until(complete, 20, "the upgrade does not end", pause=0.05)

    def spoil(self):
        """The next version fails."""
        self.machine.spoil()

    def launcher(self):
        """Its pid."""
        line = self.machine.moult("status", self.name, expect=0).stdout.splitlines()[0]
        return int(line.split("pid ")[1].split(",")[0])


class Script(Service):
    """A script with verbs.  The reload returns when the upgrade is over."""

    def verb(self, verb, expect=0):
        return self.machine.run(f"/etc/init.d/{self.name}", verb, expect=expect)

    def start(self):
        return self.verb("start")

    def upgrade(self, expect=0):
        return self.verb("reload", expect)

    reload = upgrade

    def restart(self):
        return self.verb("restart")

    def stop(self):
        return self.verb("stop")

    def runs(self):
        return self.verb("status", expect=None).returncode == 0


class Lsb(Script):
    failure = "[emerg]"  # the daemon's last words, too

    def __init__(self, machine):
        super().__init__(machine)
        machine.install("init.d", "/etc/init.d/web")


class Stock(Script):
    """Debian's script for nginx; `changed`: by the example."""

    name = "nginx"

    def spoil(self):
        """The script tests the configuration, and nginx does not bind in that test."""
        other = new_port()
        self.socket = socket.create_server(("127.0.0.1", other))
        self.machine.configure("bad", other)

    def __init__(self, machine, changed=True):
        super().__init__(machine)
        machine.write("/etc/init.d/nginx", changed_script() if changed else STOCK.read_text(),
                      0o755)


class OpenRC(Script):
    def __init__(self, machine):
        super().__init__(machine)
        machine.install("openrc", "/etc/init.d/web")
        machine.write("/run/openrc/softlevel", "default\n")  # as if OpenRC had booted
        machine.run("sh", "-c", "cd /run/openrc && mkdir exclusive daemons started starting "
                    "stopping failed init.d options tmp", expect=0)

    def verb(self, verb, expect=0):
        return self.machine.run("rc-service", self.name, verb, expect=expect)


class Runit(Service):
    def __init__(self, machine):
        super().__init__(machine)
        machine.install("runit", "/run/service/web")
        machine.write("/run/service/web/down", "")
        machine.start("runsvdir", "-P", "/run/service", end=signal.SIGHUP)
        wait_until(lambda: self.sv("status", expect=None).returncode == 0, 10, "no runsv",
                   pause=0.05)

    def sv(self, verb, expect=0):
        return self.machine.run("sv", verb, "/run/service/web", expect=expect)

    def start(self):
        return self.sv("start")

    def reload(self):
        return self.sv("reload")

    def restart(self):
        return self.sv("restart")

    def stop(self):
        return self.sv("stop")

    def runs(self):
        return self.sv("status", expect=None).stdout.startswith("run: ")


class S6(Service):
    def __init__(self, machine):
        super().__init__(machine)
        machine.install("s6", "/run/service/web")
        machine.write("/run/service/web/down", "")
        machine.start("s6-svscan", "/run/service")
        wait_until(lambda: machine.run("s6-svok", "/run/service/web").returncode == 0, 10,
                   "no s6-supervise", pause=0.05)

    def svc(self, *options):
        return self.machine.run("s6-svc", *options, "-T20000", "/run/service/web", expect=0)

    def start(self):
        return self.svc("-u", "-wU")

    def reload(self):
        return self.svc("-h")

    def restart(self):
        return self.svc("-r", "-wR")

    def stop(self):
        return self.svc("-d", "-wD")

    def runs(self):
        state = self.machine.run("s6-svstat", "-o", "up,ready", "/run/service/web").stdout
        return state == "true true\n"


class Supervisor(Service):
    def __init__(self, machine):
        super().__init__(machine)
        machine.start("supervisord", "-n", "-c", "/etc/supervisor/supervisord.conf")
        wait_until(lambda: machine.run("test", "-S", "/run/supervisor.sock").returncode == 0, 20,
                   "no supervisord", pause=0.05)

    def control(self, *words, expect=None):
        return self.machine.run("supervisorctl", *words, expect=expect)

    def start(self):
        self.machine.install("supervisord.conf", "/etc/supervisor/conf.d/web.conf")
        return self.control("update", expect=0)

    def reload(self):
        return self.control("signal", "HUP", "web", expect=0)

    def restart(self):
        return self.control("restart", "web", expect=0)

    def stop(self):
        return self.control("stop", "web", expect=0)

    def runs(self):
        return self.control("status", "web").returncode == 0
