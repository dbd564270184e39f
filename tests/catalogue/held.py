# SPDX-License-Identifier: MIT
"""Connections that are in the middle of something while there is an upgrade."""

import re
import socket

PATIENCE = 20.0
LEAST = 1_000_000  # a download that fits into the kernel's buffers would not stall


def _connect(address, receive_buffer=None):
    family, name = socket.AF_INET, address
    if address.startswith("unix:"):
        family, name = socket.AF_UNIX, address[len("unix:"):]
    else:
        host, _, port = address.rpartition(":")
        if host.startswith("["):
            family, host = socket.AF_INET6, host[1:-1]
        name = (host, int(port))
    connection = socket.socket(family)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.connect(name)
    return connection


class Held:
    """Half a request, to be finished; and a download, of which the beginning has come."""

    def __init__(self, daemon, setting):
        self.daemon = daemon
        self.half = self.download = None
        if daemon.half:
            self.half = _connect(daemon.address(setting))
            self.half.sendall(daemon.half[0])
        if daemon.download:
            self.download = _connect(daemon.address(setting), receive_buffer=16384)
            self.download.sendall(f"GET {daemon.download} HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n".encode())
            self.begun = self.download.recv(512)
            assert self.begun.startswith(b"HTTP/1."), f"no download: {self.begun!r}"

    def finish(self, tags):
        """The rest, which one of the generations with these tags has to serve."""
        try:
            if self.half:
                self._finish_half(tags)
            if self.download:
                self._finish_download()
        finally:
            self.close()

    def _finish_half(self, tags):
        wanted = [self.daemon.answer.replace(b"@TAG@", self.daemon.tag(tag).encode())
                  for tag in tags]
        answer = b""
        try:
            self.half.sendall(self.daemon.half[1])
            while not any(text in answer for text in wanted):
                more = self.half.recv(65536)
                assert more, f"half a request: cut after {answer[-200:]!r}, wanted {wanted}"
                answer += more
        except OSError as error:
            raise AssertionError(f"half a request: {error} after {answer[-200:]!r}") from None

    def _finish_download(self):
        data = bytearray(self.begun)
        try:
            while more := self.download.recv(1 << 18):
                data += more
        except OSError as error:
            raise AssertionError(f"the download: {error} after {len(data)} bytes") from None
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        assert len(body) >= LEAST, f"the download: {len(body)} bytes after {head!r}"
        assert not length or len(body) == int(length[1]), (
            f"the download: cut after {len(body)} bytes of {head!r}")
        if b"chunked" in head.lower():
            assert body.endswith(b"0\r\n\r\n"), f"the download: cut after {len(body)} bytes"

    def close(self):
        for connection in (self.half, self.download):
            if connection:
                connection.close()
