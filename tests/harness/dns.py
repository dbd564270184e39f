# SPDX-License-Identifier: MIT
"""DNS questions for the text of gen.test, over UDP and TCP.  The answer is "GEN TAG"."""

import re
import socket
import struct

from harness.questions import Lost, Question

NAME, TEXT, INTERNET = b"\3gen\4test\0", 16, 1


def message(number):
    return struct.pack("!6H", number & 0xffff, 0x0100, 1, 0, 0, 0) + NAME + struct.pack(
        "!2H", TEXT, INTERNET)


def tag_of(number, answer):
    """Returns the tag.  The answer must have one record and belong to the question."""
    identity, flags, _, count = struct.unpack_from("!4H", answer)
    found = re.search(rb"GEN (\w+)", answer)
    if identity != number & 0xffff or flags & 0x800f != 0x8000 or count != 1 or not found:
        raise Lost("wrong")
    return found[1].decode()


class Udp(Question):
    def ask(self):
        self.socket.connect(self.address)
        self.socket.send(message(self.number))

    def step(self):
        return tag_of(self.number, self.socket.recv(4096))


class Tcp(Question):
    kind = socket.SOCK_STREAM

    def ask(self):
        self.received = b""
        # On loopback, connect() returns only when the connection is established or refused
        self.socket.setblocking(True)
        self.socket.connect(self.address)
        question = message(self.number)
        self.socket.sendall(struct.pack("!H", len(question)) + question)
        self.socket.setblocking(False)

    def step(self):
        data = self.socket.recv(4096)
        if not data:
            raise Lost("cut")
        self.received += data
        if len(self.received) < 2 or len(self.received) < 2 + int.from_bytes(self.received[:2]):
            return None
        return tag_of(self.number, self.received[2:])
