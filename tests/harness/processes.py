# SPDX-License-Identifier: MIT
"""Processes of this test.  The test inherits every process whose parent ends."""

import collections
import ctypes
import os
import signal
import time

from harness.waiting import wait_until

Process = collections.namedtuple("Process", "pid parent state command")

PR_SET_CHILD_SUBREAPER = 36
_apart = set()


def set_apart(pid, apart=True):
    """That child and its descendants belong to no test: they serve several of them."""
    (_apart.add if apart else _apart.discard)(pid)


def become_subreaper():
    """Makes orphans children of the test, so that it finds every process, however it was forked."""
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def _read(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = [word.decode(errors="replace") for word in file.read().split(b"\0")[:-1]]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, int(fields[1]), fields[0].decode(), command)


def alive(pid):
    process = _read(pid)
    return process is not None and process.state not in "ZX"


def name(pid):
    """The name that the process gave itself; "" if it has ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent(pid):
    return _read(pid).parent


def descendants(root=None):
    """Living descendants of that process (default: of the test), without zombies."""
    processes = [p for p in (_read(int(n)) for n in os.listdir("/proc") if n.isdigit()) if p]
    children = collections.defaultdict(list)
    for process in processes:
        children[process.parent].append(process)
    found, todo = [], [root or os.getpid()]
    while todo:
        for process in children[todo.pop()]:
            if process.pid in _apart:
                continue
            todo.append(process.pid)
            if process.state not in "ZX":
                found.append(process)
    return found


def with_words(*words, root=None):
    """Living descendants whose command line has these words next to each other."""
    def matches(process):
        return any(process.command[i:i + len(words)] == list(words)
                   for i in range(len(process.command)))
    return [process for process in descendants(root) if matches(process)]


def reap_orphans():
    """Reaps all ended children.  To be called only when each Popen has its own status already."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def end_all():
    """Kills every descendant, by pid; returns those that were left."""
    left = descendants()

    def none_left():
        for process in descendants():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap_orphans()
        return not descendants()

    wait_until(none_left, 10, "processes that survive SIGKILL")
    return left


def kill(pids, number=signal.SIGKILL):
    """Sends that signal; returns the instants before it and after all of them had died."""
    before = time.monotonic_ns()
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    wait_until(lambda: not any(alive(pid) for pid in pids), 10, f"{pids} do not die", pause=0.001)
    return before, time.monotonic_ns()
