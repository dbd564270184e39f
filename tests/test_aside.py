# SPDX-License-Identifier: MIT
"""--aside: a file that prevents the start of the next generation is moved out of the way for a
moment."""

import os
import signal
import stat
import threading

import pytest

from harness import processes
from harness.network import ask
from harness.pidfiles import FAILURES, Watch, daemon, named, names_in, path, pid_of
from harness.waiter import waiter
from harness.waiting import wait_until

NOBODY = 65534


@pytest.mark.parametrize("model", ["flock", "lock", "excl", "kill", "zero"])
def test_aside_lets_a_daemon_start_beside_itself(moult, port, path, model):
    """Without --aside the upgrade fails, with the reason, and the pid file is untouched. With
    --aside this upgrade and the next ones succeed, and a failed one puts the pid file back,
    however it fails."""
    def command(tag, *more):
        return daemon(tag, port, path, model, *more)
    instance = moult().run(command=command("g1"))
    inode = path.stat().st_ino
    instance.upgrade(command=command("bad"), expect=1)
    assert "another one is running" in instance.log()
    assert named(path) == pid_of(instance, "g1") and path.stat().st_ino == inode

    aside = [f"--aside={path}"] + ([f"--aside={path}.data"] if model == "lock" else [])
    instance.upgrade(*aside, command=command("g2"))
    instance.upgrade(command=command("g3"))
    instance.wait_alone()
    assert named(path) == pid_of(instance, "g3")
    files = {name: os.stat(path.parent / name).st_ino for name in names_in(path)}
    assert "daemon.pid.g3" in files and not any("aside" in name for name in files), files
    for number, failure in enumerate(FAILURES.values()):
        result = instance.upgrade("--ready-timeout=700ms", command=command("bad", *failure),
                                  expect=1)
        assert "another one is running" not in result.stderr
        assert named(path) == pid_of(instance, "g3"), number
        left = {name: os.stat(path.parent / name).st_ino for name in names_in(path)}
        assert left == files | ({k: v for k, v in left.items() if k.endswith(".bad")}), number
    assert ask(port).startswith("GEN g3 ")
    instance.stop()
    assert not path.exists()


def test_the_pid_file_exists_at_every_instant_while_it_is_put_back(moult, port, path):
    """The failed version renames its own file into place, then moult renames the original over
    it."""
    instance = moult().run(f"--aside={path}", command=daemon("g1", port, path, "flock"))
    before = path.stat()
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o604)
    for failure in FAILURES.values():
        watch = Watch(path)
        instance.upgrade("--ready-timeout=500ms",
                         command=daemon("bad", port, path, "rename,leave", *failure), expect=1)
        assert watch.stop() == ["moved away", "moved here", "moved here"]
        assert named(path) == pid_of(instance, "g1")
    after = path.stat()
    assert after.st_ino == before.st_ino
    assert (after.st_uid, stat.S_IMODE(after.st_mode)) == (NOBODY, 0o604)
    instance.stop()


def contents(path):
    """Reads the file; "" while it is put aside, because the file may vanish between a look and an
    open."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("end", ["unlink", "leave"])
@pytest.mark.parametrize("how", ["stop", "stop --now", "TERM"])
def test_a_stop_during_an_upgrade_puts_the_pid_file_back(moult, port, path, how, end):
    """The current generation finds its own file when it is told to stop, and removes or keeps
    it."""
    instance = moult().run(f"--aside={path}", command=daemon("g1", port, path, f"flock,{end}"))
    pid = pid_of(instance, "g1")
    upgrade = instance.start_command("upgrade", instance.name, "--", *daemon(
        "bad", port, path, "flock", "--fail=hang", "--fail-at=listening"))
    wait_until(lambda: contents(path) not in ("", f"{pid}\n"), 10,
               lambda: f"no file of the next one\n{instance.log()}")
    if how == "TERM":
        instance.signal(signal.SIGTERM)
        instance.wait_ended()
    else:
        instance.stop(*how.split()[1:])
    upgrade.communicate(timeout=20)
    assert upgrade.returncode == 1
    mine = ["daemon.pid"] if end == "leave" else []
    assert [name for name in names_in(path) if name.count(".") == 1] == mine, names_in(path)
    assert not any("aside" in name for name in names_in(path))
    if mine:
        assert named(path) == pid


def test_the_next_launcher_puts_back_what_a_killed_one_left_aside(moult, port, path):
    """The old file goes back only if no other file has taken its place.  Otherwise it stays aside,
    the log says so, and the next upgrade does not lose it."""
    def kill_in_upgrade(instance):
        old = pid_of(instance, "g1")
        upgrade = instance.start_command("upgrade", instance.name, "--", *daemon(
            "bad", port, path, "kill", "--fail=hang", "--fail-at=listening"))
        instance.wait_log("bad hangs")  # earlier, the daemon would remove the file
        assert contents(path) not in ("", f"{old}\n")
        instance.process.kill()
        instance.wait_ended()
        upgrade.communicate(timeout=20)
        processes.kill([process.pid for tag in ("g1", "bad") for process in instance.tagged(tag)])
        wait_until(lambda: not processes.descendants(), 10, "the keepers do not end")
        return old

    command = daemon("g1", port, path, "kill")
    instance = moult().run(f"--aside={path}", command=command)
    old = kill_in_upgrade(instance)
    [aside] = path.parent.glob("daemon.pid.aside-daemon.*")
    assert named(aside) == old

    instance.run(f"--aside={path}", command=command)
    assert f"has left {aside.name} beside it, which stays" in instance.log()
    instance.upgrade(command=daemon("g2", port, path, "kill"))
    instance.wait_alone()
    assert named(aside) == old and named(path) == pid_of(instance, "g2")
    instance.stop()

    start = len(instance.log())
    instance.run(f"--aside={path}", command=daemon("g1", port, path, "rename"))
    instance.wait_log("which stays|put back what", start=start)
    assert named(path) == pid_of(instance, "g1")
    assert not aside.exists()  # at this start the place was free
    instance.stop()


def test_a_file_that_cannot_be_put_aside_fails_the_upgrade(moult, port, path, directory):
    """The upgrade fails before the next generation is started, and the files that were put aside
    already are put back."""
    locked = directory / "locked"
    locked.mkdir(mode=0o755)
    (locked / "lock").touch()
    os.chown(path.parent, NOBODY, NOBODY)
    instance = moult(user=NOBODY).run(command=daemon("g1", port, path, "flock"))
    for bad, reason in ((locked / "lock", "Permission denied"), (path.parent, "Is a directory")):
        result = instance.upgrade(f"--aside={path}", f"--aside={bad}", expect=1)
        assert f"--aside={bad}: cannot be put aside: {reason}" in result.stderr
        assert "generation 1 still serves" in result.stderr
    assert (locked / "lock").exists()
    assert named(path) == pid_of(instance, "g1")
    status = instance.status()
    assert status["upgrades"]["failed"] == 2 and len(status["generations"]) == 1
    assert "generation 2" not in instance.log()
    instance.upgrade(f"--aside={path}")
    instance.stop()


def test_a_device_is_not_put_aside(moult, port, path):
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    instance = moult().run(f"--aside={path}", command=waiter("g1", port))
    assert "device" in instance.upgrade(expect=1).stderr
    assert stat.S_ISCHR(path.stat().st_mode)
    instance.upgrade("--aside=", command=waiter("g2", port))  # none any more
    instance.stop()


def test_a_live_socket_is_not_put_aside(moult, port, path):
    """Its path already belongs to the launcher, and clients connect to it all the time."""
    instance = moult().run(f"--aside={path}", command=waiter("g1", port, f"--unix={path}"))
    inode = path.stat().st_ino
    result = instance.upgrade(command=waiter("g2", port, f"--unix={path}"))
    assert "is a socket that moult hands over" in result.stderr
    assert path.stat().st_ino == inode
    instance.stop()


def test_aside_of_relative_missing_and_linked_files(moult, port, path):
    """A relative path starts at the directory of the launcher. A symbolic link itself is put aside
    and back."""
    target = path.with_name("target")
    target.write_text("")
    path.symlink_to("target")
    instance = moult().run("--aside=daemon.pid", "--aside=none", "--aside=no/such/directory",
                           command=daemon("g1", port, path, "flock"), cwd=path.parent)
    instance.upgrade(command=daemon("bad", port, path, "flock", *FAILURES["exits"]), expect=1)
    assert os.readlink(path) == "target" and named(target) == pid_of(instance, "g1")
    instance.upgrade(command=daemon("g2", port, path, "flock"))
    assert not path.is_symlink() and named(path) == pid_of(instance, "g2")
    assert named(target) != named(path)
    instance.stop()


def test_a_restart_puts_nothing_aside(moult, port, path):
    """No other generation runs, so the stale file is left to the daemon, as without moult."""
    instance = moult().run(f"--aside={path}", "--restart=always",
                           command=daemon("g1", port, path, "flock"))
    old, inode = pid_of(instance, "g1"), path.stat().st_ino
    processes.kill([old])
    wait_until(lambda: path.read_text() not in ("", f"{old}\n"), 15, instance.log)
    assert path.stat().st_ino == inode
    instance.wait_serving()
    instance.stop()


def test_the_old_file_goes_when_the_current_generation_dies_before_the_switch(
        moult, port, path, directory):
    """The upgrade then succeeds without a probation."""
    def command(tag):
        return daemon(tag, port, path, "flock")
    instance = moult().run(f"--aside={path}", command=command("g1"))
    pid, go = instance.generation(1)["pid"], directory / "go"
    waits = f'while ! test -e {go}; do sleep 0.01; done; exec "$@"'
    upgrade = threading.Thread(target=instance.upgrade, kwargs={
        "command": ["sh", "-c", waits, "sh", *map(str, command("g2"))]})
    upgrade.start()
    instance.wait_log("generation 2: started")
    processes.kill([pid])
    instance.wait_gone(1)
    go.touch()
    upgrade.join(30)
    assert not any("aside" in name for name in names_in(path)), instance.log()
    assert named(path) == pid_of(instance, "g2")
    instance.stop()
