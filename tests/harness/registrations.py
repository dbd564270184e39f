# SPDX-License-Identifier: MIT
"""Which sockets the epoll instances of a process watch, as the kernel reports."""

import os
import re


def inode_of(port):
    """The inode of the socket that listens on that TCP port in the test's network."""
    with open("/proc/thread-self/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return next((int(row[9]) for row in rows
                 if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port), None)


def registrations(pid):
    """(descriptor, inode) of each entry in the epoll instances of that process, sorted.

    An instance with two descriptors counts twice, because the kernel shows it twice.
    """
    found = []
    try:
        names = os.listdir(f"/proc/{pid}/fdinfo")
    except FileNotFoundError:
        return []  # the process has ended
    for name in names:
        try:
            with open(f"/proc/{pid}/fdinfo/{name}") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [(int(fd), int(inode, 16))
                  for fd, inode in re.findall(r"^tfd:\s*(\d+) .* ino:([0-9a-f]+)", text, re.M)]
    return sorted(found)


def stale_entries(pid):
    """Entries whose descriptor is closed, or has become another file."""
    def is_one(fd, inode):
        try:
            return os.stat(f"/proc/{pid}/fd/{fd}").st_ino != inode
        except FileNotFoundError:
            return True
    return [entry for entry in registrations(pid) if is_one(*entry)]
