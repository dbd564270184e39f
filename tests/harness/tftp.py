# SPDX-License-Identifier: MIT
"""Transfers of the file "file", block by block.  Its first line is "GEN TAG"."""

import struct

from harness.questions import Lost, Question

READ, DATA, ACK, BLOCK = 1, 3, 4, 512


def content(tag, size=30_000):
    """The expected file of that generation; its length is no multiple of a block."""
    head = f"GEN {tag}\n".encode()
    return head + bytes(i * 7 % 251 for i in range(size - len(head)))


class Transfer(Question):
    def ask(self):
        self.peer, self.blocks = None, []
        self.socket.bind(("127.0.0.1", 0))
        self.socket.sendto(struct.pack("!H", READ) + b"file\0octet\0", self.address)

    def step(self):
        data, peer = self.socket.recvfrom(4 + BLOCK)
        self.peer = self.peer or peer
        if peer != self.peer:
            raise Lost("duplicate")
        operation, number = struct.unpack_from("!2H", data)
        if operation != DATA:
            raise Lost("wrong")
        if number == len(self.blocks) + 1:
            self.blocks.append(data[4:])
        self.socket.sendto(struct.pack("!2H", ACK, number), peer)
        return self.tag_of_file() if len(data) < 4 + BLOCK else None

    def tag_of_file(self):
        file = b"".join(self.blocks)
        tag = file.partition(b"\n")[0].decode().removeprefix("GEN ")
        if file != content(tag):
            raise Lost("wrong")
        return tag

    def again(self):
        """A repeated last block is a retransmission; a block from another peer is a second
        answer."""
        if self.socket.recvfrom(4 + BLOCK)[1] != self.peer:
            raise Lost("duplicate")
