# SPDX-License-Identifier: MIT
"""Questions of messaging protocols: SIP, syslog, and Mumble's ping."""

import socket
import struct

from harness.packets import Datagram, Stream, named
from harness.questions import Lost


def options(number, protocol, own):
    """The request with which SIP asks whether a server is there."""
    return (f"OPTIONS sip:test@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{protocol} {own[0]}:{own[1]};rport;"
            f"branch=z9hG4bK{number}\r\nFrom: <sip:a@test>;tag=a{number}\r\nTo: <sip:test@127.0.0.1>"
            f"\r\nCall-ID: {number}@test\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\n"
            "Content-Length: 0\r\n\r\n").encode()


class SipUdp(Datagram):
    def question(self, number):
        return options(number, "UDP", self.socket.getsockname())

    def tag_of(self, number, answer):
        return named(answer, f"Call-ID: {number}@".encode() in answer)


class SipTcp(Stream):
    def question(self, number):
        return options(number, "TCP", self.socket.getsockname())

    def tag_of(self, number, answer):
        if not answer.endswith(b"\r\n\r\n"):
            return None
        return named(answer, f"Call-ID: {number}@".encode() in answer)


class SyslogUdp(Datagram):
    """Syslog has no answers.  The program that gets a message sends it to the port that the message
    names."""

    def ask(self):
        self.socket.bind(("127.0.0.1", 0))
        self.send(f"<14>Jan  1 00:00:00 test ask: {self.socket.getsockname()[1]} {self.number}\n")

    def send(self, message):
        self.socket.sendto(message.encode(), self.address)

    def tag_of(self, number, answer):
        return named(answer, answer.split()[-1:] == [str(number).encode()])


class SyslogTcp(SyslogUdp):
    def send(self, message):
        with socket.create_connection(self.address) as connection:
            connection.sendall(message.encode())


class Mumble(Datagram):
    """The ping by which a client lists servers.  The permitted number of users serves as the
    tag."""

    def question(self, number):
        return struct.pack("!IQ", 0, number)

    def tag_of(self, number, answer):
        if len(answer) != 24 or struct.unpack_from("!Q", answer, 4)[0] != number:
            raise Lost("wrong")
        return f"g{struct.unpack_from('!I', answer, 16)[0] - 1000}"
