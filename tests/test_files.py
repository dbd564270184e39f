# SPDX-License-Identifier: MIT
"""Files that a daemon has beside its sockets: pid files, locks, and the launcher's own pid file."""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import stat
import struct
import threading

import pytest

from harness import processes
from harness.build import program
from harness.network import ask
from harness.processes import alive
from harness.waiting import wait_until

NOBODY = 65534


@pytest.fixture
def path(directory):
    """Of the daemon's pid file, in a directory where nothing else is."""
    files = directory / "files"
    files.mkdir()
    return files / "daemon.pid"


def daemon(tag, port, path, model, *more):
    return [program("pidfile"), "--tag", tag, f"--model={model}", f"--output={path}",
            "--nonblocking", "--port", str(port), *more]


def waiter(tag, port, *more):
    return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking", "--port", str(port),
            *more]


def named(path):
    return int(path.read_text())


def pid_of(instance, tag):
    return instance.tagged(tag)[0].pid


@contextlib.contextmanager
def held(port):
    """A connection that keeps its generation draining."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello\n")
        assert connection.recv(100).startswith(b"GEN ")
        yield connection


def names_in(path):
    return sorted(os.listdir(path.parent))


class Watch:
    """What has happened to a file, by inotify: every step, however short it was."""

    EVENTS = {0x2: "written", 0x40: "moved away", 0x80: "moved here", 0x100: "created",
              0x200: "deleted"}

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.name, self.fd = path.name, libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self.fd, bytes(path.parent), sum(self.EVENTS)) >= 0

    def stop(self):
        data, found = b"", []
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self.fd, 65536)
        os.close(self.fd)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            if data[16:16 + length].rstrip(b"\0").decode() == self.name:
                found += [event for bit, event in self.EVENTS.items() if mask & bit]
            data = data[16 + length:]
        return found


class Reader:
    """Reads a file again and again; what it was each time it was another, None where there is none."""

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


# ---- --aside ----

FAILURES = {
    "exits": ("--fail=exit1", "--fail-at=listening"),
    "crashes": ("--fail=segv", "--fail-at=bound"),
    "dies after the switch": ("--fail=die-soon", "--fail-at=waiting"),
    "hangs": ("--fail=hang", "--fail-at=listening"),
}


@pytest.mark.parametrize("model", ["flock", "lock", "excl", "kill", "zero"])
def test_a_daemon_that_refuses_to_start_beside_itself(moult, port, path, model):
    """Without --aside its upgrade fails, saying why, and nothing has happened to its file. With it
    the upgrade works, and so do the next, and one that fails, however it does, gives it back."""
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


def test_there_is_a_file_at_every_instant_of_putting_it_back(moult, port, path):
    """The failed version has renamed its own into place, and then ours is renamed over that."""
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
    """"" while it is put aside: between a look and an open it may go."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("end", ["unlink", "leave"])
@pytest.mark.parametrize("how", ["stop", "stop --now", "TERM"])
def test_an_upgrade_that_is_abandoned(moult, port, path, how, end):
    """The current generation finds its own file when it is told to end: and removes it, or not."""
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


def test_what_a_killed_launcher_has_left_aside(moult, port, path):
    """It is put back for the next launcher's daemon where nothing has its place; else it stays and
    is told, and the next upgrade does not lose it."""
    def kill_in_upgrade(instance):
        old = pid_of(instance, "g1")
        upgrade = instance.start_command("upgrade", instance.name, "--", *daemon(
            "bad", port, path, "kill", "--fail=hang", "--fail-at=listening"))
        wait_until(lambda: contents(path) not in ("", f"{old}\n"), 10,
                   instance.log)
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
    assert not aside.exists()  # at this start nothing had its place
    instance.stop()


def test_what_cannot_be_put_aside_refuses_the_upgrade(moult, port, path, directory):
    """Before anything is started; what was put aside before it is back."""
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


def test_no_device_is_moved(moult, port, path):
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    instance = moult().run(f"--aside={path}", command=waiter("g1", port))
    assert "device" in instance.upgrade(expect=1).stderr
    assert stat.S_ISCHR(path.stat().st_mode)
    instance.upgrade("--aside=", command=waiter("g2", port))  # none any more
    instance.stop()


def test_a_live_socket_is_not_put_aside(moult, port, path):
    """Its path belongs to the launcher already, and clients connect all the time."""
    instance = moult().run(f"--aside={path}", command=waiter("g1", port, f"--unix={path}"))
    inode = path.stat().st_ino
    result = instance.upgrade(command=waiter("g2", port, f"--unix={path}"))
    assert "is a socket that moult hands over" in result.stderr
    assert path.stat().st_ino == inode
    instance.stop()


def test_relative_missing_and_linked_files(moult, port, path):
    """Relative to where the launcher was started. A link is put aside itself, and back."""
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


def test_a_restart_has_nothing_to_put_aside(moult, port, path):
    """There is no other instance: the stale file is the daemon's business, as without us."""
    instance = moult().run(f"--aside={path}", "--restart=always",
                           command=daemon("g1", port, path, "flock"))
    old, inode = pid_of(instance, "g1"), path.stat().st_ino
    processes.kill([old])
    wait_until(lambda: path.read_text() not in ("", f"{old}\n"), 15, instance.log)
    assert path.stat().st_ino == inode
    instance.wait_serving()
    instance.stop()


# ---- the pid file of a newer generation ----

@pytest.mark.parametrize("model", ["write", "rename"])
@pytest.mark.parametrize("end", ["unlink", "unlinkat", "remove", "empty", "truncate",
                                 "ftruncate"])
def test_an_old_generation_leaves_the_newer_ones_pid_file(moult, port, path, model, end):
    """At its end and before; and removes what else it has. The last one removes it."""
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


def test_after_a_failed_upgrade_it_is_the_current_ones_again(moult, port, path):
    """It was superseded for a moment, and then not."""
    instance = moult().run(f"--aside={path}", command=daemon("g1", port, path, "write"))
    instance.upgrade(command=daemon("bad", port, path, "write", *FAILURES["dies after the switch"]),
                     expect=1)
    assert named(path) == pid_of(instance, "g1")
    os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
    wait_until(lambda: not path.exists(), 10, "it stays")
    instance.stop()


def test_a_pid_file_that_is_just_being_written(moult, port, path):
    """The old generation removes what the new one has created and not yet filled. It looks again
    for a moment; that is a race, so once in five is enough (without it, it is never)."""
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
    """A small regular file that begins with the pid of a living process of it; all else goes, as
    without us, and nothing that could block or act is opened."""
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
def test_who_may_only_empty_it_does_not(moult, port, path, end):
    """One that has dropped its uid cannot remove its file, but may write to it."""
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
def test_who_may_not_remove_it_is_told_so(moult, port, path, mode, error):
    """A daemon that has dropped its uid gets libc's error, and may rely on it."""
    path.parent.chmod(mode)
    instance = moult().run(command=daemon("g1", port, path, "rename", "--habit=drop-uid"))
    with held(port):
        instance.upgrade(command=daemon("g2", port, path, "rename", "--habit=drop-uid"))
        os.kill(pid_of(instance, "g1"), signal.SIGUSR1)
        instance.wait_log(f"(pidfile g1: unlink: {error}\\s+){{2}}")
    assert named(path) == pid_of(instance, "g2")
    instance.stop()


def test_in_another_pid_namespace_numbers_mean_nothing(moult, port, path):
    """The same number is another process there: what the file names cannot be said, so it goes."""
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
    """The process that has a POSIX lock on it, by F_GETLK; 0: nobody."""
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, request))
    return 0 if answer[0] == fcntl.F_UNLCK else answer[4]


def test_no_lock_of_the_daemon_is_lost_through_us(moult, load, port, path):
    """Closing any descriptor of a file releases all POSIX locks on it. The daemon has one on its pid
    file and one on its data through bind, accept, an upgrade (to a version that locks nothing, and
    writes the same inode), the drain, and the removal of the file; somebody who waits for each
    gets it with the daemon's end, not before."""
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
            client = load(f"127.0.0.1:{port}", rate=300)  # what the bad one had died with it
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


# ---- the launcher's own ----

def test_the_launchers_pid_file_is_whole_at_every_instant(moult, port, directory):
    """Through the start, five upgrades, one that fails, and the end: nothing yet, ours, gone."""
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
    """The second says whose it is, and does not start; the first one's stays."""
    path = directory / "launcher.pid"
    first = moult("first").run(f"--pid-file={path}", command=waiter("g1", port))
    second = moult("second")
    result = second.command("run", "-n", "second", f"--pid-file={path}", "--",
                            *waiter("other", port))
    assert result.returncode == 1
    assert f"{path}: belongs to process {first.process.pid}, which runs" in result.stderr
    assert path.read_text() == f"{first.process.pid}\n"
    assert not second.tagged("other")
    first.upgrade(command=waiter("g2", port))  # keepers are forked, and must not have the lock
    first.wait_alone()
    first.process.kill()
    first.wait_ended()
    second.run(f"--pid-file={path}", command=waiter("other", port + 1))
    assert path.read_text() == f"{second.process.pid}\n"
    second.stop()
    processes.kill([process.pid for process in first.tagged("g2")])
    wait_until(lambda: not processes.descendants(), 10, "the keeper does not end")


def test_a_pid_that_is_somebody_elses_by_now_does_not_keep_us_from_starting(moult, port, directory):
    """Left over from before a reboot, it names a process that lives."""
    path = directory / "launcher.pid"
    path.write_text(f"{os.getpid()}\n")
    instance = moult().run(f"--pid-file={path}", command=waiter("g1", port))
    assert path.read_text() == f"{instance.process.pid}\n"
    path.write_text(f"{os.getpid()}\n")
    instance.stop()
    assert path.read_text() == f"{os.getpid()}\n"  # not ours to remove
