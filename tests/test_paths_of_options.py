# SPDX-License-Identifier: MIT
"""The paths of --aside and --pid-file, in a directory that a compromised worker may write to."""

import fcntl
import os
import struct

import pytest

from harness.waiter import waiter
from harness.waiting import wait_until
from harness.worker import hostile, is_untouched, names, nobody, place, victim

NOBODY = 65534


# ---- --aside ----

def test_files_with_names_like_those_put_aside_are_kept(moult, port, place):
    """Such files do not prevent an upgrade."""
    nobody(place / "lock")
    instance = moult().run(f"--aside={place}/lock", command=waiter("g1", port))
    taken = [nobody(place / f"lock.aside-daemon{end}").name
             for end in ("", *(f".{number}" for number in range(1, 100)),
                         *(f".{number:016x}" for number in range(100)))]
    instance.upgrade(command=waiter("g2", port))
    assert names(place) == sorted(taken)
    instance.stop()


def test_a_directory_in_place_of_the_file_to_put_aside(moult, port, place):
    """Another user has made the directory.  The upgrade says so and goes on."""
    (place / "lock").mkdir()
    os.chown(place / "lock", NOBODY, NOBODY)
    instance = moult().run(f"--aside={place}/lock", command=waiter("g1", port))
    result = instance.upgrade(command=waiter("g2", port))
    assert f"--aside={place}/lock: is another user's directory, and stays" in result.stderr
    assert (place / "lock").is_dir()
    instance.stop()


@pytest.mark.parametrize("how", ["absolute", "relative", "back"])
def test_a_link_of_another_user_in_a_path_is_not_followed(moult, port, place, directory, how):
    """Otherwise root would remove a file of that user's choice."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").write_text("precious\n")
    path = place / "run" / "lock"
    if how == "back":
        nobody(place / "run", elsewhere)
        path = place / "run" / ".." / "elsewhere" / "lock"
    else:
        nobody(place / "run", elsewhere if how == "absolute" else "../elsewhere")
    instance = moult().run(f"--aside={path}", command=waiter("g1", port))
    result = instance.upgrade(command=waiter("g2", port))
    assert "a symbolic link on the way to it is in a directory that others may" in result.stderr
    assert names(elsewhere) == ["lock"] and (elsewhere / "lock").read_text() == "precious\n"
    instance.stop()


def test_links_of_the_operator_in_a_path_are_followed(moult, port, directory):
    """/var/run is such a link."""
    real = directory / "real"
    real.mkdir()
    (directory / "first").symlink_to("./second//")
    (directory / "second").symlink_to(f"{directory}/real/../real")
    (real / "lock").touch()
    instance = moult().run(f"--aside={directory}/./first//lock", command=waiter("g1", port))
    instance.upgrade(command=waiter("g2", port))
    assert not names(real)
    instance.stop()


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_a_file_that_replaces_the_one_put_aside_is_left_alone(moult, port, place, hostile, fails):
    """The new file is neither removed nor replaced, and the log says so."""
    nobody(place / "lock")
    instance = moult().run(f"--aside={place}/lock", command=waiter("g1", port))
    upgrade = instance.start_command(
        "upgrade", instance.name, *([] if fails else ["--ready=exec=test -e " + f"{place}/fail"]),
        "--", *(hostile("bad", fail=True) if fails else waiter("g2", port)))
    aside = wait_until(lambda: next(iter(place.glob("lock.aside-*")), None), 10, instance.log)
    aside.rename(place / "stolen")
    nobody(aside).write_text("another\n")
    (place / "fail").touch()
    _, said_by_it = upgrade.communicate(timeout=40)
    assert upgrade.returncode == fails, said_by_it
    assert f"another process has replaced {aside.name} beside it, which stays" in said_by_it
    assert names(place) == ["fail", aside.name, "stolen"] and aside.read_text() == "another\n"
    instance.stop()


# ---- --pid-file ----

def locked(path, kind):
    file = open(path, "r+" if kind == fcntl.F_WRLCK else "r")
    fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
    return file


@pytest.mark.parametrize("obstacle", ["link", "locked file", "directory", "full directory",
                                      "read lock", "fifo", "hard link"])
def test_an_obstacle_at_the_path_of_the_pid_file_is_replaced(moult, port, place, directory, victim, obstacle):
    """The directory belongs to the daemon. The obstacle does not prevent the start, is not opened,
    and its target does not change."""
    path, file = place / "launcher.pid", None
    if obstacle == "link":
        file = locked(victim, fcntl.F_WRLCK)
        nobody(path, victim)
    elif obstacle == "locked file":
        file = locked(nobody(path), fcntl.F_WRLCK)
    elif "directory" in obstacle:
        path.mkdir()
        os.chown(path, NOBODY, NOBODY)
        if obstacle == "full directory":
            nobody(path / "file")
    elif obstacle == "read lock":  # any user can lock the file that a killed launcher has left
        path.write_text("1\n")
        path.chmod(0o644)
        file = locked(path, fcntl.F_RDLCK)
    elif obstacle == "fifo":
        os.mkfifo(path)
    else:
        file = locked(victim, fcntl.F_WRLCK)
        os.link(victim, path)
    instance = moult().run(f"--pid-file={path}", command=waiter("g1", port))
    assert path.read_text() == f"{instance.process.pid}\n" and not path.is_symlink()
    assert len(names(place)) == 1 + (obstacle == "full directory")
    instance.stop()
    assert not path.exists() and is_untouched(victim)
    if file:
        file.close()


def test_a_link_that_replaces_the_pid_file_stays(moult, port, place, victim):
    """The target of the link stays, too."""
    path = place / "launcher.pid"
    instance = moult().run(f"--pid-file={path}", command=waiter("g1", port))
    path.rename(place / "moved")
    victim.write_text(f"{instance.process.pid}\n")
    nobody(path, victim)
    instance.stop()
    assert path.is_symlink() and victim.read_text() == f"{instance.process.pid}\n"


def test_a_pid_file_behind_a_link_of_another_user_fails_the_start(moult, place, port, directory):
    """Root would write where that user wants."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    nobody(place / "run", elsewhere)
    result = moult().command("run", "-n", "daemon", f"--pid-file={place}/run/launcher.pid", "--",
                             *waiter("g1", port))
    assert result.returncode == 1 and "directory that others may write to" in result.stderr
    assert not names(elsewhere)
