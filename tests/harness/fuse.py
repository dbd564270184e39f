# SPDX-License-Identifier: MIT
"""A FUSE file system that answers slowly, or does not answer certain operations.

It has one directory with one regular file, "file".  While it does not answer, the test's own
process must not touch it, because only this process could answer.
"""

import ctypes
import os
import stat
import struct
import threading
import time

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 25, 26, 27, 29, 36, 42
ENOENT, ENOSYS = 2, 38
CONTENT = b"1\n"


def attributes(node):
    mode = stat.S_IFDIR | 0o777 if node == 1 else stat.S_IFREG | 0o666
    return struct.pack("=6Q10I", node, len(CONTENT), 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class FileSystem:
    """`silent`: operations that are not answered until speak() is called; `delay`: seconds before
    each answer."""

    def __init__(self, path, silent=(), delay=0.0):
        self.path, self.silent, self.delay = path, set(silent), delay
        self.asked = {}  # operation: how often
        self.unanswered = []
        self.lock = threading.Lock()
        try:
            self.device = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            pytest.skip(f"/dev/fuse cannot be opened: {error.strerror}")
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        assert LIBC.mount(b"test", os.fsencode(path), b"fuse", 0, options.encode()) == 0, (
            os.strerror(ctypes.get_errno()))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def lookups(self):
        return self.asked.get(LOOKUP, 0)

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError:  # unmounted
                return
            _, operation, unique, node = struct.unpack_from("=IIQQ", request)
            self.asked[operation] = self.asked.get(operation, 0) + 1
            with self.lock:
                if operation in self.silent:
                    self.unanswered.append((operation, unique, node, request[40:]))
                    continue
            if self.delay and operation != INIT:
                time.sleep(self.delay)
            self.answer(operation, unique, node, request[40:])

    def answer(self, operation, unique, node, more):
        if operation in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        data, error = self.result(operation, node, more)
        try:
            os.write(self.device, struct.pack("=IiQ", 16 + len(data), -error, unique) + data)
        except OSError:  # the asker was interrupted
            pass

    def result(self, operation, node, more):
        if operation == INIT:  # FUSE_PARALLEL_DIROPS
            return struct.pack("=IIII", 7, 31, 0, 1 << 18) + bytes(48), 0
        if operation == LOOKUP:
            if more.rstrip(b"\0") != b"file":
                return b"", ENOENT
            return struct.pack("=QQQQII", 2, 0, 0, 0, 0, 0) + attributes(2), 0
        if operation == GETATTR:
            return struct.pack("=QII", 0, 0, 0) + attributes(node), 0
        if operation in (OPEN, OPENDIR):
            return struct.pack("=QII", 1, 0, 0), 0
        if operation == READ:
            return CONTENT, 0
        if operation == STATFS:
            return bytes(80), 0
        if operation in (FLUSH, RELEASE, RELEASEDIR):
            return b"", 0
        return b"", ENOSYS

    def speak(self):
        """Answers everything that is still unanswered, and everything from now on."""
        with self.lock:
            self.silent, late, self.unanswered = set(), self.unanswered, []
            self.delay = 0
        for request in late:
            self.answer(*request)

    def close(self):
        self.speak()
        LIBC.umount2(os.fsencode(self.path), 3)  # MNT_FORCE | MNT_DETACH
        self.thread.join(10)
        os.close(self.device)
