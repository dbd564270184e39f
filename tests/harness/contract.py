# SPDX-License-Identifier: MIT
"""The contract as somebody speaks it who wants harm: raw messages to the launcher (shim/contract.h).

This is the only place of the tests that knows what they look like.
"""

import array
import os
import re
import socket
import struct

(HELLO, BIND, LISTEN, CLOSED, SHUT, TEMPLATE, YIELD, UNLINKED, MOVED, REPLACE, CONNECTED, REMOVED,
 CALLING) = range(1, 14)

SLOT, SLOTS = 64, 4096  # at the end of the page
INFLIGHT = 4            # in a slot


def find_variable():
    """What MOULT was, out of this process's own memory, as a compromised daemon finds it."""
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(n, 16) for n in line.split()[0].split("-"))
            if "rw-p" not in line or end - start > 1 << 24:
                continue
            try:
                memory.seek(start)
                found = re.search(rb"MOULT=(\d+:\d+:[0-9a-f]{32}:moult-[0-9]+-[0-9a-f]{16})\0",
                                  memory.read(end - start))
            except OSError:
                continue
            if found:
                return found[1].decode()
    raise AssertionError("no token in this process")


def unix_address(name):
    return struct.pack("=H", socket.AF_UNIX) + os.fsencode(name) + b"\0"


class Launcher:
    """The other end."""

    def __init__(self, variable):
        contract, generation, self.token, self.address = variable.split(":")
        self.contract, self.generation = int(contract), int(generation)

    def ask(self, verb, listener=-1, backlog=0, fds=(), address=b"", answer=True):
        """(error, listener, backlog, descriptor or -1), or None if no answer is waited for."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(20)
            connection.connect("\0" + self.address)
            request = struct.pack("=IIIiiI", self.contract, verb, self.generation, listener,
                                  backlog, len(address))
            request += self.token.encode() + address.ljust(128, b"\0")
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            connection.sendmsg([request], rights)
            if not answer:
                return None
            data, rights, _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
        fd = struct.unpack("i", rights[0][2][:4])[0] if rights else -1
        return *struct.unpack("=iii", data), fd

    def announce(self, sock, directory, name):
        """A UNIX socket that is bound to that, and listens or is a datagram socket: its number."""
        self.ask(BIND, fds=[sock.fileno(), directory], address=unix_address(name))
        return self.ask(LISTEN, backlog=4, fds=[sock.fileno()])[1]

    def claim_inflight(self, count):
        """Makes the launcher believe that so many threads are in accept()."""
        page = self.ask(HELLO)[3]
        place = os.fstat(page).st_size - SLOT * SLOTS + INFLIGHT
        os.pwrite(page, struct.pack("=I", count), place)
        os.close(page)
