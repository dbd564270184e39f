# SPDX-License-Identifier: MIT
"""Pid files of the daemon and of the launcher, and locks: an old generation takes nothing from a
newer one."""

import contextlib
import fcntl
import os
import signal
import stat
import struct
import threading

import pytest

from harness import processes
from harness.build import program
from harness.pidfiles import FAILURES, Watch, daemon, held, named, names_in, path, pid_of
from harness.processes import alive
from harness.waiter import waiter
from harness.waiting import wait_until

NOBODY = 65534


class Reader:
    """Reads a file again and again; records each content that differs from the last one, None for
    no file."""

    def __init__(self, path):
        self.path, self.seen, self.done = path, [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.done.is_set():
            try:
                text = self.path.read_text()
            except FileNotFoundError:
                text = None
            if self.seen[-1:] != [text]:
                self.seen.append(text)

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.seen


# ---- the pid file of a newer generation ----

@pytest.mark.parametrize("model", ["write", "rename"])
@pytest.mark.parametrize("end", ["unlink", "unlinkat", "remove", "empty", "truncate",
                                 "ftruncate"])
def test_an_old_generation_does_not_remove_the_pid_file_of_a_newer_one(moult, port, path, model, end):
    """Neither at its end nor before.  It removes its other files, and the last generation removes
    the pid file."""
    instance = moult().run(command=daemon("g1", port, path, f"{model},{end}"))
    for old, new in (("g1", "g2"), ("g2", "g3")):
        with held(port):
            instance.upgrade(command=daemon(new, port, path, f"{model},{end}"))
            start = len(instance.log())
            os.kill(pid_of(instance, old), signal.SIGUSR1)
            instance.wait_log(f"(pidfile {old}: {end}: removed\\s+){{2}}", start=start)
            assert names_in(path) == ["daemon.pid", f"daemon.pid.{new}"]
            assert named(path) == pid_of(instance, new)
        instance.wait_alone()
        assert names_in(path) == ["daemon.pid", f"daemon.pid.{new}"]
        assert named(path) == pid_of(instance, new)
    instance.stop()
    assert names_in(path) == []


def test_after_a_failed_upgrade_the_current_generation_may_remove_its_pid_file(moult, port, path):
    """A newer generation existed for a moment."""
    instance = moult().run(f"--aside={path}", command=daemon("g1", port, path, "write"))
    instance.upgrade(command=daemon("bad", port, path, "write", *FAILURES["dies after the switch"]),
                     expect=1)
    assert named(path) == pid_of(instance, "g1")
    os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
    wait_until(lambda: not path.exists(), 10, "it stays")
    instance.stop()


def test_a_pid_file_that_is_still_empty_is_not_removed(moult, port, path):
    """The old generation unlinks the file when the new generation has created, but not yet filled
    it.  The library then looks again for a moment.  This is a race, so one success in five is
    enough; without the second look there is none."""
    instance = moult().run(f"--aside={path}", command=daemon("g1", port, path, "excl"))
    g1 = pid_of(instance, "g1")
    with held(port):
        for number in range(2, 7):
            upgrade = instance.start_command("upgrade", instance.name, "--", *daemon(
                f"g{number}", port, path, "excl", "--delay-answer=8"))
            wait_until(lambda: path.exists() and path.stat().st_size == 0, 10, "no empty file",
                       pause=0)
            os.kill(g1, signal.SIGUSR1)
            upgrade.communicate(timeout=20)
            assert upgrade.returncode == 0, instance.log()
            if path.exists() and named(path) == pid_of(instance, f"g{number}"):
                break
        else:
            pytest.fail("each was removed while it was empty")
    instance.stop()


def fifo(path, pids):
    os.mkfifo(path)


def link(path, pids):
    path.with_name("target").write_text(f"{pids['g2']}\n")
    path.symlink_to("target")


def text(form):
    def write(path, pids):
        path.write_text(form.format(**pids))
    return write


@pytest.mark.parametrize("make, stays", [
    (text("{g2}\n"), True), (text("{g2}"), True), (text("  \t{g2} more\n/var\n"), True),
    (text("{g1}\n"), False), (text("{gone}\n"), False), (text("{keeper}\n"), False),
    (text("1\n"), False), (text("{g2}7\n"), False), (text("{g2}x\n"), False), (text("-{g2}"), False),
    (text(""), False), (text("pid {g2}"), False), (text("{g2}\n" + "x" * 600), False),
    (text("99999999999999999999\n"), False), (fifo, False), (link, False),
])
def test_what_counts_as_a_newer_ones_pid_file(moult, port, path, make, stays):
    """A small regular file that begins with the pid of a living process of the newer generation.
    Any other file is removed, as without moult, and no file is opened that could block or act."""
    instance = moult().run(command=daemon("g1", port, path, "write"))
    with held(port):
        instance.upgrade(command=waiter("g2", port))
        g2 = instance.tagged("g2")[0]
        ended = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(ended, 0)
        path.unlink()
        make(path, {"g1": pid_of(instance, "g1"), "g2": g2.pid, "keeper": g2.parent, "gone": ended})
        start = len(instance.log())
        os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
        instance.wait_log("(pidfile g1: unlink: removed\\s+){2}", start=start)
        assert os.path.lexists(path) == stays
        assert ("target" in names_in(path)) == (make is link)
    instance.stop()


@pytest.mark.parametrize("end", ["empty", "truncate"])
def test_an_old_generation_does_not_empty_the_pid_file_of_a_newer_one(moult, port, path, end):
    """A daemon that has dropped its uid cannot remove its file, but may write to it."""
    instance = moult().run(command=daemon("g1", port, path, f"write,{end}", "--habit=drop-uid"))
    with held(port):
        instance.upgrade(command=daemon("g2", port, path, f"write,{end}"))
        os.chown(path, NOBODY, NOBODY)
        os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
        instance.wait_log(f"(pidfile g1: {end}: Permission denied\\s+){{2}}")
        assert named(path) == pid_of(instance, "g2")
        path.write_text("other\n")
        os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
        wait_until(lambda: path.read_text() == "", 10, "what is no pid file is not emptied")
    instance.stop()


@pytest.mark.parametrize("mode, error", [(0o755, "Permission denied"),
                                         (0o1777, "Operation not permitted")])
def test_a_daemon_that_may_not_remove_its_pid_file_gets_the_error(moult, port, path, mode, error):
    """A daemon that has dropped its uid may rely on the error of libc."""
    path.parent.chmod(mode)
    instance = moult().run(command=daemon("g1", port, path, "rename", "--habit=drop-uid"))
    with held(port):
        instance.upgrade(command=daemon("g2", port, path, "rename", "--habit=drop-uid"))
        os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
        instance.wait_log(f"(pidfile g1: unlink: {error}\\s+){{2}}")
    assert named(path) == pid_of(instance, "g2")
    instance.stop()


def test_a_pid_file_in_another_pid_namespace_is_removed(moult, port, path):
    """The number names another process there, so the owner of the file is unknown."""
    instance = moult().run(command=["unshare", "--pid", "--fork", "--kill-child",
                                    *daemon("g1", port, path, "write")])
    with held(port):
        instance.upgrade(command=waiter("g2", port))
        path.write_text(f"{pid_of(instance, 'g2')}\n")
        inner = [p for p in instance.tagged("g1") if p.command[0] == program("pidfile")]
        os.kill(inner[0].pid, signal.SIGUSR1)
        wait_until(lambda: not path.exists(), 10, "it stays")
    instance.stop()


# ---- locks ----

def locked_by(file):
    """The process that has a POSIX lock on the file, by F_GETLK; 0: none."""
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, request))
    return 0 if answer[0] == fcntl.F_UNLCK else answer[4]


def test_no_posix_lock_of_the_daemon_is_lost(moult, load, port, path):
    """Closing any descriptor of a file releases all POSIX locks of the process on it. The daemon
    locks its pid file and its data. Both locks hold through bind, accept, an upgrade (to a version
    that locks nothing and writes the same inode), the drain, and the removal of the file; they end
    with the daemon, not before."""
    instance = moult().run(command=daemon("g1", port, path, "lock"))
    pid = pid_of(instance, "g1")
    with open(path) as file, open(f"{path}.data") as data, contextlib.ExitStack() as stack:
        free, done = [], threading.Event()

        def watch():
            while not done.is_set():
                if locked_by(file) != pid or locked_by(data) != pid:
                    free.append((locked_by(file), locked_by(data)))
                    return
        watcher = threading.Thread(target=watch)
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(done.set)

        with held(port) as connection:
            instance.upgrade(command=daemon("bad", port, path, "write,leave",
                                            *FAILURES["dies after the switch"]), expect=1)
            client = load(f"127.0.0.1:{port}", rate=300)  # the bad version's lock ended with it
            client.wait_answers(30)
            instance.upgrade(command=daemon("g2", port, path, "write"))
            os.kill(pid, signal.SIGUSR1)
            instance.wait_log("(pidfile g1: unlink: removed\\s+){2}")
            client.wait_answers(30, "g2")
            connection.sendall(b"hello\n")
            assert connection.recv(100).startswith(b"GEN g1 ")
            assert named(path) == pid_of(instance, "g2")
            assert path.stat().st_ino == os.fstat(file.fileno()).st_ino
            done.set()
            watcher.join()
            assert not free, f"locked by {free}, not {pid}"
        instance.wait_alone()
        assert not alive(pid) and locked_by(file) == 0 == locked_by(data)
        assert not client.stop().losses
    instance.stop()


# ---- the pid file of the launcher ----

def test_the_pid_file_of_the_launcher_is_complete_at_every_instant(moult, port, directory):
    """Through the start, five upgrades, one failed upgrade, and the end: a reader sees no file,
    then the whole file, then no file."""
    path = directory / "launcher.pid"
    reader, watch = Reader(path), Watch(path)
    wait_until(lambda: reader.seen, 10, "no reader")
    instance = moult().run(f"--pid-file={path}", command=waiter("g1", port), umask=0o077)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    for number in range(2, 7):
        instance.upgrade(command=waiter(f"g{number}", port))
    instance.upgrade(command=waiter("bad", port, *FAILURES["exits"]), expect=1)
    pid = instance.process.pid
    instance.stop()
    wait_until(lambda: reader.seen[-1] is None, 10, lambda: str(reader.seen))
    assert reader.stop() == [None, f"{pid}\n", None]
    assert watch.stop() == ["moved here", "deleted"]
    assert not list(directory.glob("launcher.pid*"))


def test_two_launchers_do_not_share_a_pid_file(moult, port, directory):
    """The second launcher says which process has the file, and does not start.  The first one's
    file stays."""
    path = directory / "launcher.pid"
    first = moult("first").run(f"--pid-file={path}", command=waiter("g1", port))
    second = moult("second")
    result = second.command("run", "-n", "second", f"--pid-file={path}", "--",
                            *waiter("other", port))
    assert result.returncode == 1
    assert f"{path}: belongs to process {first.process.pid}, which runs" in result.stderr
    assert path.read_text() == f"{first.process.pid}\n"
    assert not second.tagged("other")
    first.upgrade(command=waiter("g2", port))  # keepers are forked, and must not keep the lock
    first.wait_alone()
    first.process.kill()
    first.wait_ended()
    second.run(f"--pid-file={path}", command=waiter("other", port + 1))
    assert path.read_text() == f"{second.process.pid}\n"
    second.stop()
    processes.kill([process.pid for process in first.tagged("g2")])
    wait_until(lambda: not processes.descendants(), 10, "the keeper does not end")


def test_a_stale_pid_file_that_names_a_living_process_does_not_prevent_a_start(moult, port, directory):
    """The file is left over from before a reboot."""
    path = directory / "launcher.pid"
    path.write_text(f"{os.getpid()}\n")
    instance = moult().run(f"--pid-file={path}", command=waiter("g1", port))
    assert path.read_text() == f"{instance.process.pid}\n"
    path.write_text(f"{os.getpid()}\n")
    instance.stop()
    assert path.read_text() == f"{os.getpid()}\n"  # the launcher must not remove it
