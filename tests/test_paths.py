# SPDX-License-Identifier: MIT
"""A compromised worker sends the launcher paths and sockets.

The worker runs as nobody, holds the token and owns a directory (harness/hostile.py).  Whatever it
sends or does there, nothing changes that the worker could not change itself, and the launcher goes
on.
"""

import ctypes
import errno
import os
import re
import socket
import stat

import pytest

from harness import fuse
from harness.network import ask
from harness.worker import hostile, is_untouched, place, victim

NOBODY = 65534
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def tmpfs(directory):
    """tmpfs(NAME): a directory with a file system of its own."""
    mounted = []

    def mount(name):
        path = directory / name
        path.mkdir(exist_ok=True)
        assert LIBC.mount(b"none", os.fsencode(path), b"tmpfs", 0, None) == 0
        mounted.append(path)
        return path
    yield mount
    for path in mounted:
        LIBC.umount2(os.fsencode(path), 2)


def said(instance, words):
    instance.wait_log(f"hostile: {words}\n", 30)


def closed(instance):
    """The launcher has logged that it closes the socket, and has answered a command after that."""
    instance.wait_log("closed unix:")
    instance.status()


def end(instance, place):
    """Ends the worker; the launcher must be unharmed."""
    (place / "done").touch()
    assert ask_somebody(instance)
    instance.stop()


def ask_somebody(instance):
    port = instance.status()["listeners"][0]["address"].rpartition(":")[2]
    return ask(int(port)).startswith("GEN ")


# ---- mode, owner, removal ----

def test_mode_and_owner_are_not_set_through_a_link(moult, place, victim, hostile):
    """The launcher restores them when an upgrade fails, while the worker swaps the socket and a
    link all the time."""
    instance = moult().run(command=hostile("g1", "swaps_its_path", victim))
    said(instance, "announced")
    (place / "fail").touch()
    for _ in range(12):
        instance.upgrade(command=hostile("bad", fail=True), expect=1)
        assert is_untouched(victim)
    end(instance, place)


def test_a_failed_upgrade_restores_the_mode_without_set_id_bits_and_not_the_owner(moult, place, hostile):
    """The process that has bound the socket could not change the owner."""
    instance = moult().run(command=hostile("g1", "has_a_socket"))
    said(instance, r"announced \d+")
    path = place / "socket"
    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *hostile("bad", fail=True))
    instance.wait_log("generation 2: started")
    path.chmod(0o6600)
    (place / "fail").touch()
    upgrade.communicate(timeout=40)
    assert upgrade.returncode == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    (place / "fail").unlink()

    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *hostile("bad", fail=True))
    instance.wait_log("generation 3: started")
    os.chown(path, 1, 1)
    (place / "fail").touch()
    upgrade.communicate(timeout=40)
    assert upgrade.returncode == 1
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 1)
    end(instance, place)


@pytest.mark.parametrize("owner", [NOBODY, 0], ids=["its own directory", "root's"])
def test_a_path_is_removed_only_if_the_binder_could_remove_it(moult, place, hostile, owner):
    instance = moult().run(command=hostile("g1", "has_a_socket"))
    said(instance, r"announced \d+")
    os.chown(place, owner, owner)
    (place / "close").touch()
    closed(instance)
    assert (place / "socket").exists() == (owner == 0)
    end(instance, place)


def test_a_name_with_a_slash_is_refused(moult, place, directory, hostile):
    """Each verb accepts a directory and one name in it.  A place that does not belong to the
    listener is refused."""
    with socket.socket(socket.AF_UNIX) as victim:
        victim.bind(str(directory / "victim"))
        instance = moult().run(command=hostile("g1", "names_with_slashes", directory / "victim"))
        said(instance, "tried")
        answers = re.findall(r"hostile: (slash|name|link) (\w+) (-?\d+)\n", instance.log())
        for verb in "moved", "unlinked", "replace", "other":
            assert answers.count(("slash", verb, f"-{errno.EBADMSG}")) == 5
            assert all(int(error) < 0 for *what, error in answers if what == ["name", verb])
        assert len(answers) == 5 * 4 + 2 * 4 + 2
        for verb in "moved", "unlinked":
            assert ("link", verb, f"-{errno.EBADMSG}") in answers
        addresses = [row["address"] for row in instance.status()["listeners"]]
        assert f"unix:{place}/socket" in addresses
        (place / "close").touch()
        closed(instance)
        assert not (place / "socket").exists()
        end(instance, place)
    assert stat.S_ISSOCK((directory / "victim").stat().st_mode)


def test_a_socket_with_the_same_inode_number_on_another_file_system(moult, place, hostile, tmpfs):
    """The launcher does not take it for the daemon's socket."""
    run, own = tmpfs("root"), tmpfs("place")
    os.chown(own, NOBODY, NOBODY)
    for number in range(200):
        (run / str(number)).touch()
    with socket.socket(socket.AF_UNIX) as victim:
        victim.bind(str(run / "victim"))
        inode = (run / "victim").stat().st_ino
        instance = moult().run(command=hostile("g1", "same_inode_elsewhere", run, "victim", inode))
        said(instance, r"announced \d+")
        said(instance, f"moved -{errno.ENOENT}")
        addresses = [row["address"] for row in instance.status()["listeners"]]
        assert "unix:socket" in addresses and f"unix:{run}/victim" not in addresses
        run.chmod(0o777)  # the worker may remove the file itself
        (own / "close").touch()
        closed(instance)
        assert (run / "victim").exists()
        end(instance, own)


def test_addresses_longer_than_a_unix_address_are_refused(moult, place, hostile):
    """A UNIX address has 110 bytes, a message has room for more."""
    instance = moult().run(command=hostile("g1", "long_addresses"))
    said(instance, "tried")
    answers = re.findall(r"hostile: (address|place|other) (\d+) (-?\d+)", instance.log())
    assert len(answers) == 7 * 2 * (9 + 5) + 2
    for what, length, error in answers:
        if what == "place" or int(length) > 110:
            assert int(error) < 0, (what, length, error)
        if int(length) > 110:
            assert int(error) == -errno.EBADMSG, (what, length, error)
    assert ("other", "108", f"-{errno.EBADMSG}") in answers
    assert len(instance.status()["listeners"]) == 2
    end(instance, place)


# ---- files that are read ----

def test_the_content_of_a_file_that_the_sender_may_not_read_is_not_revealed(moult, port, place, hostile):
    """The answer (is this the pid file of the newer generation?) would reveal the content."""
    instance = moult().run(command=hostile("g1", "asks_what_it_cannot_read"))
    with socket.create_connection(("127.0.0.1", port)):  # generation 1 has to wait for a question
        instance.upgrade(command=hostile("g2"))
        pid = instance.generation(2)["pid"]
        for name, mode in (("secret", 0o600), ("public", 0o644)):
            (place / name).write_text(f"{pid}\n")
            (place / name).chmod(mode)
        (place / "ask").touch()
        for how in "place", "file":
            said(instance, f"{how} secret -{errno.ENOENT}")
            said(instance, f"{how} public 0")
    end(instance, place)


# ---- a file system that never answers ----

def test_a_file_system_that_never_answers_delays_only_its_generation(moult, place, directory, hostile):
    """For example a file system of the daemon's own.  The launcher waits half a second.  Then it
    asks no more for this generation, or only once more after a while.  Other generations are
    served."""
    path = directory / "silent"
    path.mkdir()
    silent = fuse.FileSystem(path, [fuse.LOOKUP])
    try:
        instance = moult().run(command=hostile("g1", "binds_where_nobody_answers", path))
        said(instance, "tried")
        assert 1 <= silent.lookups() <= 2
        assert ask_somebody(instance)
        instance.upgrade(command=hostile("g2"))
    finally:
        silent.close()
    end(instance, place)


# ---- pokes ----

def test_pokes_reach_only_the_sockets_of_the_daemon(moult, place, directory, hostile):
    """The paths have become links to sockets that only root can reach.  Pokes still reach the
    daemon's own sockets: its blocked threads wake up."""
    private = directory / "private"
    private.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stream, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        stream.bind(str(private / "stream"))
        stream.listen(64)
        datagram.bind(str(private / "datagram"))
        stream.setblocking(False)
        datagram.setblocking(False)
        instance = moult().run(command=hostile("g1", "pokes_elsewhere", private))
        said(instance, "tried")
        assert instance.log().count("hostile: poked") == 2
        for receive in (stream.accept, lambda: datagram.recv(1)):
            with pytest.raises(BlockingIOError):
                receive()
        end(instance, place)


# ---- closing ----

@pytest.mark.parametrize("attack", ["lingers_as_a_listener", "lingers_in_a_queue",
                                    "lingers_in_a_poke"])
def test_a_close_that_blocks_for_years_does_not_block_the_launcher(moult, place, hostile, attack):
    """SO_LINGER and unread data; the launcher has the last descriptor."""
    instance = moult().run(command=hostile("g1", attack))
    said(instance, "closed")
    if attack != "lingers_in_a_poke":
        instance.wait_log("generation 1: closed (tcp|unix):")
    for tag in "g2", "g3":
        instance.upgrade(command=hostile(tag))
        assert ask_somebody(instance)
    end(instance, place)
