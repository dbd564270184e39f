# SPDX-License-Identifier: MIT
"""Connections that are in the middle of something while there is an upgrade."""

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


def _request(daemon):
    return (f"GET {daemon.download} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: close\r\n\r\n").encode()


def _to_the_end(connection, begun=b""):
    data = bytearray(begun)
    try:
        while more := connection.recv(1 << 18):
            data += more
    except OSError as error:
        raise AssertionError(f"the download: {error} after {len(data)} bytes") from None
    return bytes(data).partition(b"\r\n\r\n")


class Held:
    """Half a request, to be finished; and a download, of which the beginning has come."""

    def __init__(self, daemon, setting):
        self.daemon = daemon
        self.half = self.download = None
        if daemon.half:
            self.half = _connect(daemon.address(setting))
            self._greeted(daemon.load(setting))
            self.half.sendall(daemon.half[0])
        if daemon.download:
            with _connect(daemon.address(setting)) as connection:
                connection.sendall(_request(daemon))
                self.whole = _to_the_end(connection)[2]
            self.download = _connect(daemon.address(setting), receive_buffer=16384)
            self.download.sendall(_request(daemon))
            self.begun = self.download.recv(512)
            assert self.begun.startswith(b"HTTP/1."), f"no download: {self.begun!r}"

    def _greeted(self, load):
        """Some servers want their clients to listen first."""
        until = load.get("until", "").replace(r"\r", "\r").replace(r"\n", "\n").encode()
        greeting = b""
        while load.get("mode") == "banner" and until not in greeting:
            more = self.half.recv(4096)
            assert more, f"no greeting but {greeting!r}"
            greeting += more

    def finish(self, tag):
        """The rest, which the generation with this tag has to serve."""
        try:
            if self.half:
                self._finish_half(tag)
            if self.download:
                self._finish_download()
        finally:
            self.close()

    def _finish_half(self, tag):
        wanted = self.daemon.answer.replace(b"@TAG@", self.daemon.tag(tag).encode())
        answer = b""
        try:
            self.half.sendall(self.daemon.half[1])
            while wanted not in answer:
                more = self.half.recv(65536)
                assert more, f"half a request: cut after {answer[-200:]!r}, wanted {wanted}"
                answer += more
        except OSError as error:
            raise AssertionError(
                f"half a request: {error} after {answer[-200:]!r}, wanted {wanted}") from None

    def _finish_download(self):
        head, _, body = _to_the_end(self.download, self.begun)
        assert len(body) >= LEAST, f"the download: {len(body)} bytes after {head!r}"
        assert body == self.whole, (
            f"the download: {len(body)} bytes, not those {len(self.whole)} of before, of {head!r}")

    def close(self):
        for connection in (self.half, self.download):
            if connection:
                connection.close()
