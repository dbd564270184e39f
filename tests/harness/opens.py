# SPDX-License-Identifier: MIT
"""Which files any process opens, as the kernel reports; this includes devices and FIFOs."""

import ctypes
import os
import socket
import stat
import struct

IN_OPEN = 0x20
LIBC = ctypes.CDLL(None, use_errno=True)


class Opens:
    """Watches the paths from now on.  O_PATH, stat() and reading attributes do not count."""

    def __init__(self, paths):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0
        self.watched = {}
        for path in paths:
            watch = LIBC.inotify_add_watch(self.fd, os.fsencode(path), IN_OPEN)
            assert watch >= 0, f"{path}: {os.strerror(ctypes.get_errno())}"
            self.watched[watch] = str(path)

    def seen(self):
        """Returns the paths that were opened since the last call."""
        opened = set()
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return opened
            while data:
                watch, _, _, length = struct.unpack_from("=iIII", data)
                opened.add(self.watched[watch])
                data = data[16 + length:]

    def close(self):
        os.close(self.fd)


def special_files(directory):
    """Makes files that are not regular and may act or block when opened; returns the paths."""
    os.mkfifo(directory / "fifo", 0o755)
    os.mknod(directory / "device", 0o755 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket"))
    (directory / "socket").chmod(0o755)
    (directory / "folder").mkdir()
    return [directory / name for name in ("fifo", "device", "socket", "folder")]
