# SPDX-License-Identifier: MIT
"""What a sandbox takes from the launcher costs no connection and no upgrade.

The launcher tries at its start what it needs, says what is missing and what to add to the unit,
and goes another way.  Each sandbox here does what directives of systemd do, or Docker.
"""

import os
import socket
import subprocess
import threading

import pytest

from harness import build
from harness.build import program
from harness.load import assert_nothing_lost
from harness.waiter import waiter

NOBODY = 65534


def without(*capabilities):
    dropped = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "--"]


def only(*capabilities):
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", f"--bounding-set={kept}", "--inh-caps=-all", "--"]


def confined(*what):
    return [program("confined"), *what, "--"]


def with_proc(options):
    return ["unshare", "-m", "sh", "-c", f'mount -t proc -o {options} proc /proc && exec "$@"',
            "sh"]


# What Docker gives a container by default.
DOCKER = ("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
          "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap")

# How the launcher is started, and the words of the lines in which it says what is missing.
SANDBOXES = {
    "none": ([], []),
    "no-netlink": (confined("no-netlink"), ["AF_NETLINK to RestrictAddressFamilies="]),
    "no-kill": (without("kill"), ["CAP_KILL to CapabilityBoundingSet="]),
    "docker": (only(*DOCKER), ["CAP_SYS_PTRACE to CapabilityBoundingSet="]),
    "no-exec": ([*with_proc("subset=pid"), *confined("no-exec", "no-pidfd")],
                ["pidfd_open and pidfd_send_signal in SystemCallFilter="]),
    "everything": ([*with_proc("subset=pid"), *confined("no-netlink", "no-exec", "no-pidfd"),
                    *only("setuid", "setgid")],
                   ["AF_NETLINK", "pidfd_open", "CAP_KILL", "CAP_SYS_PTRACE"]),
    # User=, ProtectProc=invisible, SystemCallFilter=~@privileged @resources.
    "user": ([*with_proc("hidepid=invisible"), "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
              "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--",
              *confined("no-netlink", "user")], ["AF_NETLINK"]),
}


def fork(tag, port, *more):
    """Its parent closes each connection that a child serves: the library counts none open."""
    return [program("acceptor"), "--tag", tag, "--model=fork", "--port", str(port), *more]


def assert_said(instance, words):
    """Each thing is said once, and nothing else is missing."""
    lines = [line for line in instance.log().splitlines() if "sandbox: " in line]
    assert len(lines) == len(words), instance.log()
    for line, word in zip(lines, words):
        assert word in line, instance.log()


@pytest.mark.parametrize("sandbox, command", [
    *((sandbox, waiter) for sandbox in SANDBOXES), ("docker", fork),
], ids=lambda value: getattr(value, "__name__", value))
def test_a_drain_ends_with_the_connections_and_not_earlier(moult, load, port, sandbox, command):
    """The daemon changes its user, and clients stay connected to the new generation."""
    through, words = SANDBOXES[sandbox]
    instance = moult()
    habit = ["--habit=drop-uid"]
    if sandbox == "user":
        os.chown(instance.runtime, NOBODY, NOBODY)
        habit = []
    instance.run("--drain-timeout=50s", "--kill-after=50s", through=through,
                 command=command("g1", port, *habit))
    assert_said(instance, words)
    client = load(f"127.0.0.1:{port}", rate=50, persistent=3, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 3)
    instance.upgrade(command=command("g2", port, *habit))
    instance.wait_generation(1, lambda old: old and old["state"] == "draining" and
                             old["connections"] >= 3)
    newer = load(f"127.0.0.1:{port}", rate=0, persistent=5, persistent_every=20)
    newer.wait(lambda report: report["persistent"]["answered"] >= 10)
    client.wait_answers(30, "g2")
    before = client.report()["persistent"]["answered"]
    client.wait(lambda report: report["persistent"]["answered"] >= before + 9)
    assert instance.generation(1)["connections"] >= 3
    client.close_persistent()
    instance.wait_gone(1)
    assert not instance.tagged("g1")
    assert_nothing_lost(client.stop())
    assert not newer.stop().losses
    assert_said(instance, words)
    instance.stop()


def test_the_number_of_connections_is_about(moult, load, port):
    """No process of the daemon may be looked at; no connection counts for both generations."""
    instance = moult().run(through=only(*DOCKER), command=waiter("g1", port, "--habit=drop-uid"))
    first = load(f"127.0.0.1:{port}", rate=0, persistent=3, persistent_every=20)
    first.wait(lambda report: report["persistent"]["answered"] >= 3)
    instance.upgrade(command=waiter("g2", port, "--habit=drop-uid"))
    instance.wait_generation(1, lambda old: old and old["connections"] == 3)
    second = load(f"127.0.0.1:{port}", rate=0, persistent=4, persistent_every=20)
    second.wait(lambda report: report["persistent"]["answered"] >= 4)
    instance.wait_generation(2, lambda new: new["connections"] == 4)
    assert instance.generation(1)["connections"] == 3
    assert "about 3 connections" in instance.command("status", instance.name).stdout
    assert "generation 1: draining, about 3 connections" in instance.log()
    instance.stop("--now")


@pytest.mark.parametrize("sandbox", ["no-netlink", "everything"])
def test_a_unix_listener_loses_nobody(moult, load, directory, sandbox):
    """The kernel says less of UNIX sockets: the path is handed over, and a drain ends."""
    through, _ = SANDBOXES[sandbox]
    path = directory / "at"
    path.mkdir()
    path.chmod(0o777)

    def daemon(tag):
        return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking",
                f"--unix={path}/socket"]
    instance = moult().run("--drain-timeout=50s", through=through, command=daemon("g1"))
    client = load(f"unix:{path}/socket", rate=200, persistent=3, persistent_every=20)
    client.wait(lambda report: report["persistent"]["answered"] >= 3)
    instance.upgrade(command=daemon("g2"))
    client.wait_answers(50, "g2")
    instance.wait_generation(1, lambda old: old and old["state"] == "draining" and
                             old["connections"] == 3)
    client.close_persistent()
    instance.wait_gone(1)
    assert_nothing_lost(client.stop())
    instance.stop()


# ---- the directory of the control sockets ----

READ_ONLY_RUN = ["unshare", "-m", "sh", "-c",
                 'mount -t tmpfs none /run && mkdir /run/moult && mount -o remount,ro /run && '
                 'exec "$@"', "sh"]


def in_a_unit(instance, directory, user):
    """As RuntimeDirectory= of a unit does it, and nothing else."""
    del instance.environment["MOULT_RUNTIME_DIR"]
    instance.environment.pop("XDG_RUNTIME_DIR", None)
    runtime = directory / "unit"
    runtime.mkdir()
    os.chown(runtime, user, user)
    instance.environment["RUNTIME_DIRECTORY"] = f"{runtime}:/nowhere"
    return runtime / "moult"


def test_a_unit_of_another_user_is_found_by_root(moult, port, directory):
    """The directory comes from the unit; root may list the instance and give commands to it."""
    instance = moult()
    place = in_a_unit(instance, directory, NOBODY)
    instance.run(command=waiter("g1", port), wait=False, through=[
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"])
    instance.wait_log("generation 1: listens on")
    del instance.environment["RUNTIME_DIRECTORY"]
    listed = instance.command("list").stdout
    assert f"MOULT_RUNTIME_DIR={place}:\n{instance.name} " in listed, listed
    result = instance.command("status", instance.name)
    assert result.returncode == 3 and f"MOULT_RUNTIME_DIR={place}" in result.stderr
    instance.environment["MOULT_RUNTIME_DIR"] = str(place)
    assert instance.status()["state"] == "serving"
    instance.upgrade(command=waiter("g2", port))
    result = instance.command("run", "-n", "root", "--", "/bin/true")
    assert result.returncode == 1 and "must belong to this user" in result.stderr
    instance.stop()


def test_a_read_only_run(moult, port, directory):
    """ProtectSystem=strict: the launcher says which line the unit needs, and is content with it."""
    instance = moult()
    place = in_a_unit(instance, directory, 0)
    unit = instance.environment.pop("RUNTIME_DIRECTORY")
    result = instance.command("run", "--", "/bin/true", through=READ_ONLY_RUN)
    assert result.returncode == 1
    assert "/run/moult: Read-only file system" in result.stderr
    assert "RuntimeDirectory=moult-NAME" in result.stderr
    instance.environment["RUNTIME_DIRECTORY"] = unit
    instance.run(command=waiter("g1", port), wait=False, through=READ_ONLY_RUN)
    instance.wait_log("generation 1: listens on")
    assert instance.command("status", through=READ_ONLY_RUN).returncode == 0
    instance.environment["MOULT_RUNTIME_DIR"] = str(place)
    instance.stop()


def test_a_foreign_launcher_cannot_write_to_the_terminal(directory):
    """Root asks what answers in another user's directory; escape sequences are not passed on."""
    place = directory / "moult"
    place.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(place / "evil.sock"))
        listener.listen()
        os.chown(place, NOBODY, NOBODY)

        def answer():
            connection = listener.accept()[0]
            connection.recv(1 << 16)
            connection.send(b"oone\x1b[2J\ntwo\n")
            connection.send(b"x0")
            connection.close()
        thread = threading.Thread(target=answer)
        thread.start()
        result = subprocess.run([build.MOULT, "status", "evil"], capture_output=True, text=True,
                                env={"MOULT_RUNTIME_DIR": str(place)}, timeout=20)
        thread.join()
    assert (result.returncode, result.stdout) == (0, "one?[2J\ntwo\n"), result


@pytest.mark.parametrize("through, remedy", [
    (without("dac_override", "dac_read_search"), "CAP_DAC_OVERRIDE to CapabilityBoundingSet="),
    (["unshare", "-m", "sh", "-c", 'mount --bind -o ro "$0" "$0" && exec "$@"'],
     "ReadWritePaths="),
], ids=["no-override", "read-only"])
def test_a_file_that_may_not_be_put_aside(moult, port, directory, through, remedy):
    """The upgrade fails, and says what the unit needs."""
    place = directory / "place"
    place.mkdir(mode=0o755)
    lock = place / "lock"
    lock.touch()
    os.chown(place, NOBODY, NOBODY)
    if "sh" in through:
        through = [*through, str(place)]
    instance = moult().run(f"--aside={lock}", command=waiter("g1", port), through=through)
    result = instance.upgrade(command=waiter("g2", port), expect=1)
    assert remedy in result.stderr, result.stderr
    instance.stop()
