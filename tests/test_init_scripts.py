# SPDX-License-Identifier: MIT
"""Init scripts: the LSB example, the change to a stock script, and `run --background` under them."""

import difflib
import os
import pathlib
import pty
import signal
import socket
import threading

import pytest

from harness import processes
from harness.load import assert_nothing_lost
from harness.machine import Machine
from harness.network import ask, listens
from harness.services import STOCK, Lsb, changed_script
from harness.waiter import waiter
from harness.waiting import wait_until


@pytest.fixture
def web(started, port):
    """The service "web" by the LSB script."""
    machine = Machine(port)
    started.append(machine)
    machine.configure("g1")
    return Lsb(machine)


# ---- the LSB script ----

@pytest.mark.daemons
def test_the_exit_statuses_of_the_script(web, port):
    """Those that the LSB asks for, whether the service runs or not."""
    for verb, status in (("status", 3), ("stop", 0), ("try-restart", 0), ("reload", 7),
                         ("force-reload", 7), ("bogus", 2)):
        web.verb(verb, expect=status)
    assert not listens("127.0.0.1", port)
    web.machine.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                    "/etc/init.d/web", "start", expect=4)
    web.machine.write("/etc/default/web", "DAEMON=/nowhere\n")
    web.verb("start", expect=5)
    web.machine.write("/etc/default/web", "")
    web.start()
    launcher = web.launcher()
    for verb in ("status", "start", "reload", "force-reload"):
        web.verb(verb)
    assert web.launcher() == launcher
    assert "generation 3: current" in web.verb("status").stdout
    web.verb("try-restart")
    assert web.launcher() != launcher
    web.stop()
    web.verb("status", expect=3)
    web.machine.wait_nothing_left()


@pytest.mark.daemons
def test_a_first_start_that_fails_is_shown_by_the_script(web):
    """With the daemon's own words, on stderr, and nothing is left."""
    web.machine.spoil()
    said = web.verb("start", expect=1).stderr
    assert "[emerg]" in said and "moult: web: generation 1: exited with status 1" in said
    web.verb("status", expect=3)
    web.machine.wait_nothing_left()


@pytest.mark.daemons
def test_options_and_arguments_of_the_script_apply_to_the_next_version(web, port):
    """After a change to /etc/default, the reload uses the new command line."""
    web.start()
    web.machine.configure("g2")
    web.machine.run("cp", "/etc/nginx/nginx.conf", "/etc/nginx/other.conf", expect=0)
    web.machine.spoil()
    web.machine.write("/etc/default/web", "MOULT_OPTIONS=--drain-timeout=1h\n"
                      "DAEMON_ARGS=\"-c /etc/nginx/other.conf -g 'daemon off;'\"\n")
    web.upgrade()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert "GEN g2 " in connection.makefile().read()
    web.stop()


@pytest.mark.daemons
def test_the_script_stops_when_connections_have_finished(web, port):
    """It waits for a client that is connected, and not for the rest of STOP_SECONDS."""
    web.machine.write("/etc/default/web", "STOP_SECONDS=600\n")
    web.start()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        stop = threading.Thread(target=web.stop)
        stop.start()
        wait_until(lambda: not listens("127.0.0.1", port), 20, "the port stays open")
        connection.sendall(b"Host: localhost\r\nConnection: close\r\n\r\n")
        assert "GEN g1 " in connection.makefile().read()
    stop.join(20)
    assert not stop.is_alive()
    web.machine.wait_nothing_left()


@pytest.mark.daemons
def test_the_script_stops_what_a_killed_launcher_has_left(web, port):
    """The daemon serves on.  The status says that the launcher is dead, and a restart helps."""
    web.start()
    os.kill(web.launcher(), signal.SIGKILL)
    wait_until(lambda: web.verb("status", expect=None).returncode == 1, 10, "still running")
    assert listens("127.0.0.1", port)
    web.restart()
    web.verb("status")
    os.kill(web.launcher(), signal.SIGKILL)
    wait_until(lambda: web.verb("status", expect=None).returncode == 1, 10, "still running")
    web.stop()
    web.verb("status", expect=3)
    web.machine.wait_nothing_left()


def test_the_change_to_a_stock_script():
    """One line each for start, stop and reload.  test_supervisors.py runs the result."""
    changes = [line for line in difflib.ndiff(STOCK.read_text().splitlines(),
                                              changed_script().splitlines()) if line[0] == "+"]
    assert len(changes) == 3, changes
    for verb, line in zip(("run --background", "stop", "upgrade"), changes):
        assert f"/usr/local/bin/moult {verb} " in line or f"-- {verb} " in line, line


# ---- run --background ----

def test_a_start_that_fails_is_shown_although_the_log_goes_to_syslog(moult, port):
    """An init script has stderr only."""
    instance = moult()
    result = instance.command("run", "-b", "--log=syslog", "-n", instance.name, "--",
                              *waiter("g1", port, "--fail=exit1"))
    assert result.returncode == 1
    assert "generation 1: exited with status 1 before it was ready" in result.stderr
    assert "started, pid" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_waiting_command_ends_the_start(moult, port, number):
    """Nothing serves later without anybody having been told."""
    instance = moult()
    command = instance.start_command("run", "-b", "-n", instance.name, "--",
                                     *waiter("g1", port, "--start-delay=60000"))
    wait_until(lambda: instance.tagged("g1"), 10, "nothing is started")
    command.send_signal(number)
    assert command.wait(10) == -number
    assert not processes.descendants()
    assert list(instance.runtime.glob("*.sock")) == []
    command.communicate()


def test_the_next_launcher_may_start_when_stop_has_returned(moult, port, directory):
    """Name, pid file and port are free, even if the launcher has a child that does not end."""
    options = [f"--pid-file={directory / 'daemon.pid'}"]
    first, second = moult(), moult()
    first.run(*options, command=waiter("g1", port),
              through=["sh", "-c", 'sleep 60 & exec "$@"', "sh"])
    assert first.command("stop", first.name, "--now").returncode == 0
    second.run(*options, command=waiter("g2", port))
    second.stop()
    first.wait_ended()
    processes.kill(process.pid for process in processes.with_words("sleep", "60"))


# ---- nohup ----

def test_nohup_and_a_terminal_that_closes(moult, load, port, directory):
    """The kernel tells the shell, and the shell tells its jobs by kill(): this is no upgrade."""
    instance = moult()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve("/bin/bash", ["bash", "--norc", "-i"], instance.environment)
    words = " ".join([str(instance.moult), "run", "-n", instance.name, "--", *waiter("g1", port)])
    os.write(terminal, f"nohup {words} >{instance.log_path} 2>&1 &\n".encode())
    wait_until(lambda: listens("127.0.0.1", port), 15, instance.log)
    client = load(f"127.0.0.1:{port}", rate=200)
    client.wait_answers(20)
    os.close(terminal)
    os.waitpid(pid, 0)
    instance.wait_log("SIGHUP is ignored, because it was ignored when moult was started")
    status = instance.status()
    assert [g["id"] for g in status["generations"]] == [1] and status["state"] == "serving"
    daemon = pathlib.Path(f"/proc/{status['generations'][0]['pid']}/status").read_text()
    assert int(daemon.split("SigIgn:")[1].split()[0], 16) & 1 << (signal.SIGHUP - 1)
    instance.upgrade(command=waiter("g2", port))
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    assert instance.command("stop", instance.name).returncode == 0
    wait_until(lambda: not processes.descendants(), 10, "something is left")


def test_a_signal_by_kill_to_a_launcher_under_nohup(moult, port):
    """SIGHUP stays ignored, whoever sends it; SIGTERM is obeyed."""
    instance = moult().run(through=["nohup"], command=waiter("g1", port))
    start = len(instance.log())
    instance.signal(signal.SIGHUP)
    instance.wait_log(f"SIGHUP is ignored.*moult upgrade {instance.name}", start=start)
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).startswith("GEN g2 ")
    instance.signal(signal.SIGTERM)
    assert instance.wait_ended() == 0
