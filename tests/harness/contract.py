# SPDX-License-Identifier: MIT
"""The contract (shim/contract.h) as an attacker speaks it: any message that a process could send.

This is the only place of the tests that knows what the messages and the shared memory look like.
"""

import array
import os
import re
import socket
import struct

CONTRACT = 4
(HELLO, BIND, LISTEN, CLOSED, SHUT, TEMPLATE, BIND_BESIDE, UNLINKED, MOVED, REPLACE, CONNECTED,
 REMOVED, CALLING, SLOT) = range(1, 15)
ASK_AGAIN = -4096

# The board, which a daemon may only read: the offset of one word.
BOARD_NEWNESS = 32
# The tally: views of the listeners, then slots, which begin with the count of threads in accept().
LISTENERS, VIEW_SIZE = 4096, 8
SLOT_SIZE = 64
SLOTS_AT = LISTENERS * VIEW_SIZE


def find_variable():
    """Reads the value of MOULT from this process's memory, as a compromised process would."""
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if "rw-p" not in line or end - start > 1 << 24:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            found = re.search(rb"MOULT=(\d+:\d+:[0-9a-f]{32}:\d+:\d+:moult-[0-9a-f-]+)\0", data)
            if found:
                return found[1].decode()
    return None


def unix_address(name):
    return struct.pack("<H", socket.AF_UNIX) + os.fsencode(name) + b"\0"


def inet_address(host, port):
    return (struct.pack("<H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host)
            + bytes(8))


class Launcher:
    """Sends requests to the launcher that the value of the variable names."""

    def __init__(self, variable):
        contract, generation, self.token, pid, _uid, self.address = variable.split(":")
        self.contract, self.generation, self.pid = int(contract), int(generation), int(pid)

    def connect(self, timeout=10):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.settimeout(timeout)
        channel.connect("\0" + self.address)
        return channel

    def message(self, verb, listener=-1, backlog=0, address=b"", other=b"", length=None):
        return (struct.pack("<IIIiiI", self.contract, verb, self.generation, listener, backlog,
                            len(address) if length is None else length)
                + self.token.encode() + address[:128].ljust(128, b"\0")
                + other[:108].ljust(108, b"\0") + bytes(4))

    def ask(self, verb, listener=-1, fds=(), answer=True, timeout=10, **rest):
        """Returns (error, listener, backlog, [descriptors]), or None if there is no answer."""
        channel = self.connect(timeout)
        message = self.message(verb, listener, **rest)
        send(channel, message, fds)
        if not answer:
            channel.close()
            return None
        received = receive(channel)
        channel.close()
        return received

    def announce(self, sock, directory, name):
        """Announces a bound UNIX socket; returns the number of the listener."""
        self.ask(BIND, fds=[sock.fileno(), directory], address=unix_address(name))
        return self.ask(LISTEN, fds=[sock.fileno()], backlog=4)[1]

    def claim_inflight(self, count):
        """Claims in the tally that `count` threads of this process are in accept()."""
        slot = self.ask(SLOT)[1]
        board, tally = self.ask(HELLO)[3]
        os.pwrite(tally, struct.pack("<I", count), SLOTS_AT + SLOT_SIZE * slot)
        os.close(board)
        os.close(tally)


def send(channel, message, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    channel.sendmsg([message], rights)


def receive(channel):
    data, ancillary, _flags, _address = channel.recvmsg(64, socket.CMSG_SPACE(16))
    fds = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += struct.unpack(f"{len(content) // 4}i", content[:len(content) // 4 * 4])
    return (*struct.unpack("<iii", data), fds) if len(data) == 12 else (data, None, None, fds)


def pin(path):
    """Opens a directory or a file with O_PATH."""
    return os.open(path, os.O_PATH)
