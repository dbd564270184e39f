# SPDX-License-Identifier: MIT
"""UNIX stream and seqpacket listeners: the queue is handed over, and the path leads to it at
every moment."""

import os
import signal
import socket
import stat

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask_unix, listens_unix
from harness.waiting import wait_until

TAGS = ["g1", "g2", "g3", "g4"]
TYPES = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}

# How the daemon waits, and how many persistent connections it can hold
WAITS = {
    "poll": (("waiter", "--wait=poll", "--nonblocking"), 4),
    "select-blocking": (("waiter", "--wait=select"), 4),
    "epoll-exclusive-4-processes": (("waiter", "--wait=epoll-edge-exclusive", "--nonblocking",
                                     "--processes=4"), 4),
    "accept-single": (("acceptor", "--model=single"), 0),
    "accept-threads": (("acceptor", "--model=threads"), 4),
    "accept-prefork": (("acceptor", "--model=prefork"), 2),
}


def daemon(words, tag, name, *more, kind="stream"):
    return [program(words[0]), "--tag", tag, *words[1:], f"--type={kind}", f"--unix={name}", *more]


def waiter(tag, name, *more, kind="stream"):
    return daemon(("waiter", "--wait=epoll", "--nonblocking"), tag, name, *more, kind=kind)


def address(name, kind="stream"):
    return f"{'unix' if kind == 'stream' else kind}:{name}"


def answers_of(client, count=50, persistent=0):
    client.wait(lambda report: report["answered"] >= count and
                report["persistent"]["answered"] >= persistent)


@pytest.fixture
def path(directory):
    """A path in a directory of its own, which others may write to, because daemons change their
    uid."""
    place = directory / "at"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    return place / "socket"


# ---- upgrades ----

@pytest.mark.parametrize("wait, kind, abstract", [
    *((wait, "stream", False) for wait in WAITS),
    *((wait, "seqpacket", True) for wait in WAITS),
    *((wait, "stream", True) for wait in ("poll", "accept-threads")),
    *((wait, "seqpacket", False) for wait in ("epoll-exclusive-4-processes", "accept-prefork")),
], ids=lambda value: {True: "abstract", False: "path"}.get(value, value))
def test_three_upgrades_lose_nothing(moult, load, path, wait, kind, abstract):
    """New and persistent connections; the old generation serves its own connections until they
    end."""
    words, persistent = WAITS[wait]
    name = f"@{path}" if abstract else path
    instance = moult().run(command=daemon(words, "g1", name, kind=kind))
    client = load(address(name, kind), rate=600, persistent=persistent, persistent_every=30)
    answers_of(client, 50, persistent)
    switched = []
    for number, tag in enumerate(TAGS[1:], 1):
        switched.append(instance.upgrade(command=daemon(words, tag, name, kind=kind)).instant)
        if number == 1 and persistent:
            before = client.report().persistent_tags["g1"]
            assert before["open"] == persistent
            client.wait(lambda report, b=before: report.persistent_tags["g1"]["answered"] >=
                        b["answered"] + 2 * persistent, reason="the old one no longer answers")
            instance.wait_generation(1, lambda old: old and old["connections"] == persistent)
        client.renew()
        instance.wait_gone(number)
    client.wait_answers(50, "g4")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS, switched)
    instance.wait_alone()
    instance.stop()
    assert not processes.descendants(), instance.log()
    assert "a silent connection" not in instance.log()


def test_the_status_names_unix_listeners(moult, path):
    """Kind, path, and whether it was handed over, as for TCP."""
    name = f"@{path}"
    command = waiter("g1", path, f"--unix={name}", "--backlog=77")
    instance = moult().run(command=command)
    instance.upgrade()
    rows = instance.status()["listeners"]
    assert [row["address"] for row in rows] == [f"unix:{path}", f"unix:{name}"]
    assert all(row["adopted"] and row["backlog"] == 77 for row in rows), rows
    instance.stop()


def test_a_lone_client_is_never_stalled(moult, path):
    """One connection at a time: if the old generation swallows the wake-up, no other process
    wakes."""
    words = WAITS["epoll-exclusive-4-processes"][0]
    instance = moult().run(command=daemon(words, "g1", path))
    for tag in TAGS[1:]:
        upgrade = instance.start_command("upgrade", instance.name, "--",
                                         *daemon(words, tag, path))
        while upgrade.poll() is None:
            assert ask_unix(path).startswith("GEN ")
        _, err = upgrade.communicate()
        assert upgrade.returncode == 0, f"{err}\n{instance.log()}"
        assert ask_unix(path).startswith(f"GEN {tag} ")
    instance.stop()


# ---- habits ----

HABITS = ["unlink-first", "unlink-at-exit", "connect-test", "chdir-first", "chroot-after-bind",
          "chmod-after-bind", "temp-rename", "backup-rename"]


@pytest.mark.parametrize("habit, kind", [
    *((habit, "stream") for habit in HABITS),
    *((habit, "seqpacket") for habit in ("unlink-first", "connect-test", "temp-rename",
                                       "backup-rename"))])
def test_the_path_leads_to_a_serving_daemon_at_every_moment(moult, load, path, habit, kind):
    """Whatever the daemon does to its path."""
    def command(tag):
        return waiter(tag, path, f"--habit={habit}", kind=kind)
    instance = moult().run(command=command("g1"))
    client = load(address(path, kind), rate=600, persistent=2, persistent_every=30)
    answers_of(client, 50, 2)
    switched = []
    for number, tag in enumerate(TAGS[1:3], 1):
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.renew()
        instance.wait_gone(number)  # also at its end
        client.wait_answers(50, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS[:3], switched)
    assert os.listdir(path.parent) == ["socket"]
    assert [row["address"] for row in instance.status()["listeners"]] == [address(path, kind)]
    assert ask_unix(path, TYPES[kind]).startswith("GEN g3 ")
    instance.stop()


def test_the_mode_and_the_owner_are_those_that_the_daemon_set(moult, path):
    """Each generation sets them like the first one.  A generation that does not set them leaves
    them."""
    def owned():
        status = path.stat()
        return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    instance = moult().run(command=waiter("g1", path, "--habit=chmod-after-bind"))
    assert owned() == (0o660, 65534, 65534)
    for tag in ("g2", "g3"):
        instance.upgrade(command=waiter(tag, path, "--habit=unlink-first",
                                        "--habit=chmod-after-bind"))
        instance.wait_alone()
        assert owned() == (0o660, 65534, 65534)
    instance.stop()


def test_a_daemon_that_drops_its_uid_before_it_binds(moult, load, path):
    """Each generation binds as nobody, and the launcher does no more for it than nobody could
    do."""
    def command(tag):
        return waiter(tag, path, "--habit=drop-uid-early", "--habit=unlink-first")
    instance = moult().run(command=command("g1"))
    assert path.stat().st_uid == 65534
    client = load(address(path), rate=300)
    client.wait_answers(50)
    instance.upgrade(command=command("g2"))
    instance.wait_gone(1)
    client.wait_answers(50, "g2")
    assert_nothing_lost(client.stop())
    assert path.stat().st_uid == 65534
    instance.stop()


# ---- connect-test: is another one running? ----

def test_a_daemon_that_finds_another_service_at_its_path_does_not_start(moult, plain, path):
    """At the first start the answer is true: another program listens there, and goes on."""
    plain(waiter("other", path)).wait_listening_unix(path)
    instance = moult()
    result = instance.command("run", "-n", instance.name, "--",
                              *waiter("g1", path, "--habit=connect-test"))
    assert result.returncode == 1, result
    assert "already running" in result.stderr
    assert ask_unix(path).startswith("GEN other ")
    assert not instance.tagged("g1")


def test_a_path_left_by_a_dead_daemon_does_not_prevent_a_start(moult, path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    instance = moult().run(command=waiter("g1", path, "--habit=connect-test"))
    assert ask_unix(path).startswith("GEN g1 ")
    instance.stop()


def test_a_stale_path_prevents_a_start_as_without_moult(moult, path):
    """A daemon that does not clean up cannot start a second time, and must get that error."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    instance = moult()
    result = instance.command("run", "-n", instance.name, "--", *waiter("g1", path))
    assert result.returncode == 1, result
    assert "Address already in use" in result.stderr


# ---- failures ----

@pytest.mark.parametrize("options", [
    ("--habit=unlink-first", "--fail-at=bound"), ("--habit=unlink-first", "--fail-at=listening"),
    ("--habit=connect-test", "--fail-at=listening"),
    ("--habit=temp-rename", "--fail-at=bound"), ("--habit=temp-rename", "--fail-at=listening"),
    ("--habit=backup-rename", "--fail-at=bound"), ("--habit=backup-rename", "--fail-at=listening"),
    ("--habit=chmod-after-bind", "--fail-at=listening"),
], ids=lambda options: "-".join(option.partition("=")[2] for option in options))
def test_a_failed_version_leaves_the_path_to_the_current_one(moult, load, path, options):
    """It has unlinked and bound the path, or renamed its own socket over it, when it dies."""
    instance = moult().run(command=waiter("g1", path))
    before = path.stat()
    client = load(address(path), rate=600, persistent=2, persistent_every=30)
    answers_of(client, 50, 2)
    for _ in range(2):
        instance.upgrade(command=waiter("bad", path, *options, "--fail=exit1"),
                         expect=1)
        client.wait_answers(50, "g1")
    after = path.stat()
    assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)
    assert "socket" in os.listdir(path.parent)
    instance.upgrade(command=waiter("g2", path))
    client.renew()
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g1", "g2"]
    instance.stop()


def test_a_version_that_dies_after_the_switch_gives_the_path_back(moult, load, path):
    instance = moult().run(command=waiter("g1", path))
    client = load(address(path), rate=600)
    client.wait_answers(50)
    instance.upgrade(command=waiter("bad", path, "--habit=unlink-first", "--habit=unlink-at-exit",
                                    "--fail=die-soon", "--fail-at=waiting"), expect=1)
    client.wait_answers(50, "g1")
    assert_nothing_lost(client.stop())
    instance.stop()


# ---- changes that the operator makes ----

def rename(path):
    path.rename(path.parent / "away")


@pytest.mark.parametrize("spoil", [os.unlink, rename], ids=["removed", "renamed"])
@pytest.mark.parametrize("habit", ["none", "unlink-first"])
def test_a_removed_path_is_restored_by_the_next_upgrade(moult, load, path, spoil, habit):
    """Meanwhile the connections of the old generation go on."""
    more = () if habit == "none" else (f"--habit={habit}",)
    instance = moult().run(command=waiter("g1", path, *more))
    stays = load(address(path), rate=0, persistent=3, persistent_every=20)
    answers_of(stays, 0, 9)
    spoil(path)
    instance.upgrade(command=waiter("g2", path, *more))
    client = load(address(path), rate=300)
    client.wait_answers(50, "g2")
    held = stays.report()["persistent"]["answered"]
    stays.wait(lambda report: report["persistent"]["answered"] >= held + 9)
    stays.close_persistent()
    instance.wait_gone(1)
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert list(result.tags) == ["g2"]
    assert not stays.stop().losses
    instance.upgrade(command=waiter("g3", path, *more))
    assert ask_unix(path).startswith("GEN g3 ")
    instance.stop()


def test_another_program_at_the_path_is_not_replaced(moult, plain, path):
    """The operator has moved the path away and started another program there: bind() fails with
    EADDRINUSE."""
    instance = moult().run(command=waiter("g1", path))
    path.rename(path.parent / "away")
    plain(waiter("other", path))
    wait_until(lambda: path.exists() and ask_unix(path).startswith("GEN other "), 10, "no other")
    result = instance.upgrade(command=waiter("g2", path), expect=1)
    assert "Address already in use" in result.stderr + instance.log()
    assert ask_unix(path).startswith("GEN other ")
    assert ask_unix(path.parent / "away").startswith("GEN g1 ")
    instance.stop()
    assert ask_unix(path).startswith("GEN other ")


# ---- the end ----

@pytest.mark.parametrize("upgrades", [0, 2])
@pytest.mark.parametrize("how", ["stop", "stop --now", "killed"])
@pytest.mark.parametrize("habit", ["unlink-at-exit", "unlink-first"])
def test_the_path_is_removed_only_if_the_daemon_removes_it(moult, path, habit, how, upgrades):
    """After `stop` it is gone if the daemon removes it, and stays otherwise; it stays if the
    daemon was killed."""
    words = (path, f"--habit={habit}")
    instance = moult().run(command=waiter("g1", *words))
    for tag in TAGS[1:upgrades + 1]:
        instance.upgrade(command=waiter(tag, *words))
    instance.wait_alone()
    if how == "killed":
        processes.kill([process.pid for process in instance.tagged(TAGS[upgrades])],
                       signal.SIGKILL)
        assert instance.wait_ended() != 0
    else:
        instance.stop(*how.split()[1:])
    assert path.exists() == (habit != "unlink-at-exit" or how == "killed"), instance.log()
    assert not listens_unix(path)


def test_a_killed_daemon_that_is_restarted_keeps_its_path(moult, load, path):
    """The queue stays open; clients that come meanwhile are answered later."""
    instance = moult().run("--restart=always", command=waiter("g1", path, "--habit=unlink-first"))
    client = load(address(path), rate=300)
    client.wait_answers(50)
    old = instance.tagged("g1")[0]
    processes.kill([old.pid])
    wait_until(lambda: [p for p in instance.tagged("g1") if p.pid != old.pid], 15, instance.log)
    client.wait_answers(50)
    result = client.stop()
    assert set(result.losses) <= {"cut", "reset"}, result.explain()
    instance.stop()


def test_a_daemon_that_outlives_its_launcher_removes_its_path(moult, path):
    """No other generation needs the path then: unlink() at exit is that of libc."""
    instance = moult().run(command=waiter("g1", path, "--habit=unlink-at-exit"))
    daemon_pid = instance.tagged("g1")[0].pid
    os.kill(instance.process.pid, signal.SIGKILL)
    instance.wait_ended()
    assert ask_unix(path).startswith("GEN g1 ")
    processes.kill([daemon_pid], signal.SIGTERM)
    assert not path.exists()


# ---- configurations that differ ----

@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_unix_listener_that_the_next_version_drops(moult, load, path, kind, abstract):
    """No connection is reset: open ones go on, and later clients are refused."""
    other = f"@{path}-other" if abstract else f"{path}-other"
    instance = moult().run("--retire-after=0s", command=waiter("g1", path, f"--unix={other}", kind=kind))
    stays = load(address(path, kind), rate=300)
    leaves = load(address(other, kind), rate=300, persistent=3, persistent_every=20)
    stays.wait_answers(50)
    answers_of(leaves, 20, 9)
    instance.upgrade(command=waiter("g2", path, kind=kind))
    report = leaves.wait(lambda report: report["refused"] > 0, reason="it still listens")
    leaves.wait(lambda later: later["persistent"]["answered"] >=
                report["persistent"]["answered"] + 9)
    leaves.close_persistent()
    instance.wait_alone()
    result = leaves.stop()
    assert set(result.losses) <= {"refused"}, result.explain()
    assert list(result.tags) == ["g1"]
    assert_nothing_lost(stays.stop())
    assert len(instance.status()["listeners"]) == 1
    assert not listens_unix(other)
    instance.stop()


def test_tcp_and_unix_listeners_of_one_daemon(moult, load, path, port):
    """The next configuration adds one."""
    more = f"{path}-more"
    instance = moult().run(command=waiter("g1", path, f"--port={port}"))
    assert instance.status()["state"] == "serving"
    client = load([address(path), f"127.0.0.1:{port}"], rate=600, persistent=4)
    answers_of(client, 50, 4)
    switched = [instance.upgrade(command=waiter("g2", path, f"--unix={more}")
                                 + [f"--port={port}"]).instant]
    assert ask_unix(more).startswith("GEN g2 ")
    client.renew()
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, TAGS[:2], switched)
    instance.stop()
