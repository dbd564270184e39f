# SPDX-License-Identifier: MIT
"""Makes one system call of a process fail (programs/fault.c), or one allocation (tests/preload)."""

import mmap
import os
import struct
import subprocess

from harness import build

# All calls, one after the other, instead of a sample: this takes an hour.
ALL = bool(os.environ.get("MOULT_FAULTS"))


def numbers(part, parts, stride):
    """The numbers of the calls that one of `parts` tests lets fail: its share of each
    `stride`-th."""
    stride = 1 if ALL else stride
    return range(1 + part * stride, 1 << 20, parts * stride)


class Fault:
    """Makes the N-th call of a process fail.  Counts the calls from now on that can fail."""

    def __init__(self, pid, number, variant=0):
        self.process = subprocess.Popen(
            [build.program("fault"), str(pid), str(number), str(variant)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = self.process.stdout.readline()
        assert first.startswith(b"attached"), (first, self.process.stderr.read())

    def end(self):
        """Stops tracing; returns what has failed, or None if there were fewer calls."""
        while self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(0.3)
            except subprocess.TimeoutExpired:
                pass
        said = self.process.stdout.read().decode().strip()
        self.close()
        return None if said.startswith("none") else said

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Allocations:
    """Allocations of a process that was started with `environment`."""

    def __init__(self, path):
        self.file = open(path, "w+b")
        self.file.truncate(mmap.PAGESIZE)
        self.memory = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.environment = {"LD_PRELOAD": build.preload("allocation"), "ALLOCATION_FAULT": str(path)}

    def fail(self, pid, number):
        """Makes the N-th allocation from now on fail.  Returns self; the test calls end()."""
        self.memory[:24] = struct.pack("qqq", pid, number, 0)
        return self

    def end(self):
        """What has failed, or None if there were fewer allocations."""
        _, until, count = struct.unpack("qqq", self.memory[:24])
        self.memory[:24] = bytes(24)
        return f"allocation {count}" if not until else None

    def close(self):
        self.memory.close()
        self.file.close()
