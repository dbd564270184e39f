# SPDX-License-Identifier: MIT
"""Each generation inherits what the launcher inherited, whatever the earlier generation has
changed.

Daemons may give up privileges before and after they bind, as they may without moult.
"""

import ctypes
import os
import resource
import signal
import struct
import subprocess

import pytest

from harness import processes
from harness.build import program
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask, listens
from harness.questions import Lost, Question, Questions
from harness.waiting import wait_until

PR_SET_TIMERSLACK, PR_CAPBSET_DROP, CAP_SYS_NICE = 29, 24, 23
ADDR_NO_RANDOMIZE = 0x0040000


def unusual_surroundings():
    """Sets unusual values for everything that a process inherits; for a child before its exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o027)
    os.nice(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, 3000))
    resource.setrlimit(resource.RLIMIT_CORE, (4096, 1 << 20))
    resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 64 << 20))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGALRM, signal.SIGUSR1])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    libc.prctl(PR_SET_TIMERSLACK, 60000)
    libc.personality(ADDR_NO_RANDOMIZE)
    with open("/proc/self/coredump_filter", "w") as file:
        file.write("0x31")
    if os.geteuid() == 0:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("123")
        os.setgroups([7, 9])
        libc.prctl(PR_CAPBSET_DROP, CAP_SYS_NICE)


def family(tag, port, path):
    return [program("family"), "--tag", tag, "--port", str(port), str(path)]


def scenes(path):
    """Returns {name of the record: its lines} of that file."""
    found = {}
    for text in path.read_text().split("== ")[1:]:
        name, _, rest = text.partition("\n")
        found[name] = sorted(rest.splitlines())
    return found


def difference(before, after, *heads):
    """Not in what the test itself makes different."""
    heads += ("environment: _=", "kernel's environment: _=")
    return [line for line in sorted(set(before) ^ set(after)) if not line.startswith(heads)]


@pytest.fixture
def stdio(directory):
    """stdin and stdout for the daemon, both in the middle of a file."""
    (directory / "in").write_text("one\ntwo\n")
    (directory / "out").write_text("")
    with open(directory / "in") as given, open(directory / "out", "w") as taken:
        given.seek(4)
        taken.write("what was there\n")
        taken.flush()
        yield given, taken


WAYS = ["fork and execv", "fork and execvpe", "vfork and execlp", "posix_spawn", "system", "popen",
        "CGI"]


@pytest.mark.exact
def test_a_daemon_inherits_what_it_inherits_without_moult(moult, port, directory, stdio):
    """So do all its children, in each generation; the kernel is the oracle."""
    expected, found = directory / "plain.out", [directory / f"g{i}.out" for i in (1, 2, 3)]
    instance = moult()

    def start(words, log):
        return subprocess.Popen(words, stdin=stdio[0], stdout=stdio[1], stderr=log, cwd=directory,
                                env=instance.environment, start_new_session=True,
                                preexec_fn=unusual_surroundings)

    with open(instance.log_path, "ab") as log:
        process = start(family("g0", port, expected), log)
        wait_until(lambda: listens("127.0.0.1", port), 10, instance.log)
        assert ask(port).startswith("GEN g0 ")
        process.terminate()
        process.wait(10)
        instance.process = start([str(instance.moult), "run", "-n", instance.name, "--",
                                  *family("g1", port, found[0])], log)
    instance.wait_serving()
    assert ask(port).startswith("GEN g1 ")
    for tag, path in (("g2", found[1]), ("g3", found[2])):
        instance.upgrade(command=family(tag, port, path))
        assert ask(port).startswith(f"GEN {tag} ")
    instance.stop()

    before = scenes(expected)
    assert len(before) == 2 + 3 * len(WAYS)
    for path in found:
        after = scenes(path)
        assert list(after) == list(before)
        for name in before:
            # A process that could bind or accept has the library, but no trace in its environment
            heads = ("library",) if name.startswith(("the daemon", "before bind")) or name.endswith(
                ("execv", "execvpe", "execlp", "posix_spawn")) else ()
            assert difference(before[name], after[name], *heads) == [], (path, name)
    assert (directory / "out").read_text() == (
        "what was there\nline of g0\nline of g1\nline of g2\nline of g3\n")


@pytest.mark.exact  # its children have no sanitiser's runtime in their environments
@pytest.mark.parametrize("append", [False, True], ids=["truncated", "append"])
@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_a_log_is_neither_rewound_nor_truncated(moult, port, directory, append, background):
    """stdout is a file that was opened once, when the launcher was started; all generations append
    to it."""
    instance, path = moult(), directory / "log"
    path.write_text("old\n")

    def command(tag):
        return family(tag, port, directory / f"{tag}.out")

    with open(path, "a" if append else "w") as log:
        options = ["--background"] if background else []
        instance.process = subprocess.Popen(
            [str(instance.moult), "run", "-q", *options, "-n", instance.name, "--",
             *command("g1")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=instance.environment, start_new_session=True)
    if background:
        assert instance.process.wait(15) == 0, path.read_text()
    else:
        instance.wait_serving()
    for tag in ("g2", "g3"):
        with open(path, "a") as other:
            other.write(f"somebody else before {tag}\n" if append else "")
        instance.upgrade(command=command(tag))
        assert ask(port).startswith(f"GEN {tag} ")
    assert instance.command("stop", instance.name).returncode == 0
    wait_until(lambda: not processes.descendants(), 10, "the launcher does not end")
    expected = ["line of g1", "line of g2", "line of g3"]
    if append:
        expected = ["old", "line of g1", "somebody else before g2", "line of g2",
                    "somebody else before g3", "line of g3"]
    assert path.read_text().splitlines() == expected


def test_a_working_directory_that_has_been_moved_and_removed(moult, port, directory):
    """The next generation starts in the launcher's directory, whatever its name is now, and even if
    it has no name any more."""
    def waiter(tag):
        return [program("waiter"), "--tag", tag, "--wait=poll", "--port", str(port)]

    here, there = directory / "here", directory / "there"
    here.mkdir()
    instance = moult().run(command=waiter("g1"), cwd=here)
    here.rename(there)
    instance.upgrade(command=waiter("g2"))
    assert os.readlink(f"/proc/{instance.generation(2)['pid']}/cwd") == str(there)
    there.rmdir()
    instance.upgrade(command=waiter("g3"))
    assert os.readlink(f"/proc/{instance.generation(3)['pid']}/cwd") == f"{there} (deleted)"
    assert ask(port).startswith("GEN g3 ")
    instance.stop()


# ---- privileges that the daemon gives up ----

HABITS = ["chroot", "pivot-root", "capabilities", "limits", "unshare-network", "unshare-user",
          "unshare-pid", "all-of-it"]


@pytest.mark.parametrize("kind, style", [("waiter", "--wait=epoll"), ("acceptor", "--model=pool")],
                         ids=["epoll", "pool"])
@pytest.mark.parametrize("habit", HABITS)
def test_a_daemon_that_gives_up_its_rights_when_it_listens(moult, load, port, kind, style, habit):
    """The next generation has the launcher's privileges again, and binds the same address."""
    if habit in ("limits", "all-of-it") and kind == "acceptor":
        kind, style = "acceptor", "--model=single"  # as nobody it may not fork any more

    def command(tag):
        return [program(kind), "--tag", tag, style, f"--habit={habit}", "--port", str(port),
                *(["--nonblocking"] if kind == "waiter" else [])]

    instance = moult().run("--kill-after=500ms", command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20, "g1")
    switched = []
    for tag in ("g2", "g3"):
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(20, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.wait_alone()
    instance.stop()


@pytest.mark.parametrize("more", [["--map-root-user"], [], ["--map-root-user", "--pid", "--fork"]],
                         ids=["mapped", "unmapped", "mapped-pids"])
def test_a_user_namespace_around_the_daemon_of_an_ordinary_user(moult, load, port, more):
    """In that namespace the launcher has another uid, or none.  The daemon's processes still
    recognise the launcher."""
    def command(tag):
        return ["unshare", "--user", *more, program("waiter"), "--tag", tag, "--wait=epoll",
                "--nonblocking", "--port", str(port)]

    instance = moult(user=65533).run("--kill-after=500ms", command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20, "g1")
    switched = instance.upgrade(command=command("g2")).instant
    client.wait_answers(20, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    instance.wait_alone()
    instance.stop()


@pytest.mark.parametrize("outside", [True, False], ids=["unshare", "by-itself"])
def test_processes_in_their_own_pid_namespace_are_not_taken_for_dead(moult, load, port, outside):
    """The launcher waits for their accepts.  Workers that sit in accept() when the gate closes
    would otherwise each serve one connection too many."""
    def command(tag):
        words = [program("acceptor"), "--tag", tag, "--model=prefork", "--port", str(port)]
        script = "echo 32000 > /proc/sys/kernel/ns_last_pid; exec \"$@\""  # no such pid outside
        return (["unshare", "--pid", "--fork", "sh", "-c", script, "sh", *words] if outside else
                [*words, "--habit=unshare-pid"])

    instance = moult().run("--kill-after=300ms", command=command("g1"))
    for tag in ("g2", "g3", "g4"):
        client = load(f"127.0.0.1:{port}", rate=100)
        client.wait_answers(20)
        assert_nothing_lost(client.stop())  # and now all of them sleep in accept()
        instance.status()
        instance.upgrade(command=command(tag))
        client = load(f"127.0.0.1:{port}", rate=100)
        client.wait_answers(20, tag)
        result = client.stop()
        assert_nothing_lost(result)
        assert list(result.tags) == [tag], result.explain()
    instance.wait_alone()
    instance.stop()


def test_a_worker_in_a_pid_namespace_that_is_killed_inside_accept(moult, load, port):
    """The worker's in-flight count ends with the worker.  The drain of its generation does not last
    until its deadline, five minutes later."""
    words = [program("acceptor"), "--tag", "g1", "--model=prefork", "--port", str(port)]
    instance = moult().run("--kill-after=300ms",
                           command=["unshare", "--pid", "--fork", "sh", "-c", "exec \"$@\"", "sh", *words])
    client = load(f"127.0.0.1:{port}", rate=100)
    client.wait_answers(50)
    assert_nothing_lost(client.stop())  # and now all of them sleep in accept()
    members = instance.tagged("g1")
    parents = {process.parent for process in members}
    worker = next(process for process in members if process.pid not in parents)
    processes.kill([worker.pid])
    instance.upgrade(command=[program("acceptor"), "--tag", "g2", "--model=prefork",
                              "--port", str(port)])
    instance.wait_gone(1)
    instance.stop()


# ---- filters of system calls ----

SANDBOXED = [("waiter", f"--wait={style}") for style in (
    "epoll", "epoll-pwait", "epoll-edge-exclusive", "poll", "ppoll", "select")] + [
    ("acceptor", "--model=single")]


@pytest.mark.exact
@pytest.mark.parametrize("habit", ["sandbox-kill", "sandbox-error"])
@pytest.mark.parametrize("kind, style", SANDBOXED, ids=[style for _, style in SANDBOXED])
def test_a_seccomp_filter_that_allows_only_the_calls_of_the_loop(moult, load, port, kind, style, habit):
    """Any other call kills the daemon, or fails with EPERM; this includes the library's calls.  The
    daemon serves, warms up, drains with clients, and takes over again after a bad upgrade."""
    def command(tag, *more):
        return [program(kind), "--tag", tag, style, *(["--nonblocking", "--accept4"] if kind == "waiter" else []),
                f"--habit={habit}", "--port", str(port), *more]

    instance = moult().run("--drain-timeout=50s", command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300, persistent=2 if kind == "waiter" else 0,
                  persistent_every=20)
    client.wait_answers(30, "g1")
    switched = [instance.upgrade(command=command("g2")).instant]
    client.wait_answers(30, "g2")
    instance.upgrade("--ready=exec=false", "--ready-timeout=500ms", command=command("bad"),
                     expect=1)
    client.wait_answers(30, "g2")
    client.renew()
    instance.wait_gone(1)
    switched.append(instance.upgrade(command=command("g3")).instant)
    client.wait_answers(30, "g3")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.wait_alone()
    instance.stop()
    assert "SIGSYS" not in instance.log()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seccomp_filter_is_interpreted_as_by_the_kernel(seed):
    """Every instruction, in random filters; and the threads and children that a filter binds."""
    result = subprocess.run([program("filter"), str(seed), "400"], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert all(int(word.split()[1]) > 20 for word in result.stdout.split(", ")), result.stdout


SYS_CLOSE_RANGE, SYS_EPOLL_PWAIT2, EPERM = 436, 441, 1


def forbid_recent_calls():
    """Acts like a service manager or container that does not know these calls; for a child before
    its exec."""
    load, equal, give = 0x20, 0x15, 0x06
    code = b"".join(struct.pack("HBBI", *step) for step in (
        (load, 0, 0, 0), (equal, 1, 0, SYS_EPOLL_PWAIT2), (equal, 0, 1, SYS_CLOSE_RANGE),
        (give, 0, 0, 0x50000 | EPERM), (give, 0, 0, 0x7fff0000)))
    filled = ctypes.create_string_buffer(code)
    filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 5, ctypes.addressof(filled)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter_program, 0, 0) == 0


@pytest.mark.parametrize("style", ["epoll", "epoll-edge", "poll", "select"])
def test_a_seccomp_filter_installed_before_the_daemon_started(moult, load, port, style):
    """The library could not read it."""
    def command(tag):
        return [program("waiter"), "--tag", tag, f"--wait={style}", "--nonblocking", "--port",
                str(port)]

    instance = moult().run(command=command("g1"), preexec_fn=forbid_recent_calls)
    client = load(f"127.0.0.1:{port}", rate=300, persistent=2, persistent_every=20)
    client.wait_answers(20, "g1")
    switched = instance.upgrade(command=command("g2")).instant
    client.wait_answers(60, "g2")
    keepers = [process.pid for process in processes.descendants(instance.process.pid)
               if processes.name(process.pid) == "moult-keeper"]
    assert keepers
    for pid in keepers:  # which hold only the channel that reports the daemon's end, and the ledger
        held = sorted(os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0]
                      for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2)
        assert held == ["/memfd", "pipe"]
    client.renew()
    instance.wait_gone(1)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    instance.stop()


class Ntp(Question):
    """An NTP question.  The stratum of the clock is the number of the generation."""

    def ask(self):
        self.socket.connect(self.address)
        self.socket.send(b"\x23" + bytes(39) + self.number.to_bytes(8))

    def step(self):
        answer = self.socket.recv(200)
        if answer[24:32] != self.number.to_bytes(8):
            raise Lost("wrong")
        return f"g{answer[1]}"


@pytest.mark.daemons
def test_chronyd_with_its_seccomp_filter(moult, started, port, directory):
    """The filter kills for most calls; it allows read(), select() and few others."""
    def command(tag):
        path = directory / f"{tag}.conf"
        path.write_text(f"port {port}\nbindaddress 127.0.0.1\nallow\nlocal stratum {tag[1:]}\n"
                        f"cmdport 0\nbindcmdaddress /\npidfile {directory}/{tag}.pid\n")
        return ["/usr/sbin/chronyd", "-x", "-d", "-F", "2", "-u", "root", "-f", str(path)]

    instance = moult().run(command=command("g1"))
    client = Questions(("127.0.0.1", port), (Ntp,), 200)
    started.append(client)
    client.wait_answers(50)
    with open(f"/proc/{instance.generation(1)['pid']}/status") as file:
        assert "Seccomp:\t2\n" in file.readlines()
    switched = []
    for tag in ("g2", "g3"):
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(50, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.stop("--now")
