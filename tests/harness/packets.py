# SPDX-License-Identifier: MIT
"""Questions in binary protocols: SNMP, RADIUS, NTP, STUN, MQTT, and the Zabbix agent's."""

import re
import socket
import struct

from harness.questions import Lost, Question


class Datagram(Question):
    """A question in one datagram: question(number) makes it, tag_of(number, answer) returns the
    tag."""

    def ask(self):
        self.socket.connect(self.address)
        self.socket.send(self.question(self.number))

    def step(self):
        return self.tag_of(self.number, self.socket.recv(4096))


class Stream(Datagram):
    """The same over TCP.  tag_of() returns None while the answer is incomplete."""

    kind = socket.SOCK_STREAM

    def ask(self):
        self.received = b""
        # On loopback, connect() returns only when the connection is established or refused
        self.socket.setblocking(True)
        super().ask()
        self.socket.setblocking(False)

    def step(self):
        data = self.socket.recv(4096)
        if not data:
            raise Lost("cut")
        self.received += data
        return self.tag_of(self.number, self.received)


def named(answer, right):
    """The tag in an answer, if the answer is right."""
    found = re.search(rb"GEN (\w+)", answer)
    if not right or not found:
        raise Lost("wrong")
    return found[1].decode()


class Snmp(Datagram):
    """SNMPv2c GET of sysName.0; the number of the request is the last but one field of its
    header."""

    NAME = bytes.fromhex("302902010104067075626c6963a01c0204")
    VALUE = bytes.fromhex("020100020100300e300c06082b060102010105000500")

    def question(self, number):
        return self.NAME + struct.pack("!I", number + 0x10000000) + self.VALUE

    def tag_of(self, number, answer):
        return named(answer, struct.pack("!I", number + 0x10000000) in answer)


class Radius(Datagram):
    """An Access-Request.  The server does not check the secret and the password."""

    def question(self, number):
        name = b"\1\6user"
        return struct.pack("!BBH16s", 1, number & 0xff, 20 + len(name), b"authenticator...") + name

    def tag_of(self, number, answer):
        return named(answer, answer[0] == 2 and answer[1] == number & 0xff)


class Ntp(Datagram):
    """The stratum is the tag."""

    def question(self, number):
        return struct.pack("!B39xQ", 0x23, number + 1)

    def tag_of(self, number, answer):
        if len(answer) < 48 or answer[0] & 7 != 4 or answer[24:32] != struct.pack("!Q", number + 1):
            raise Lost("wrong")
        return f"g{answer[1] - 1}"


COOKIE = 0x2112A442


def allocate(number):
    """TURN's Allocate without credentials: the refusal contains the realm, which is the tag."""
    return struct.pack("!HHI12sHHI", 3, 8, COOKIE, b"%012d" % number, 0x19, 4, 17 << 24)


class TurnUdp(Datagram):
    def question(self, number):
        return allocate(number)

    def tag_of(self, number, answer):
        return named(answer, answer[8:20] == b"%012d" % number)


class TurnTcp(Stream):
    def question(self, number):
        return allocate(number)

    def tag_of(self, number, answer):
        if len(answer) < 20 or len(answer) < 20 + struct.unpack_from("!H", answer, 2)[0]:
            return None
        return named(answer, answer[8:20] == b"%012d" % number)


class Mqtt(Stream):
    """CONNECT of MQTT 5 with a keep-alive that is too long: the answer contains the permitted
    one."""

    def question(self, number):
        name = b"c%06d" % number
        body = (b"\0\4MQTT\5\2" + struct.pack("!HB", 65535, 0) + struct.pack("!H", len(name)) + name)
        return bytes([0x10, len(body)]) + body

    def tag_of(self, number, answer):
        if len(answer) < 2 or len(answer) < 2 + answer[1]:
            return None
        found = re.search(rb"\x13(..)", answer[5:], re.DOTALL)
        if answer[0] != 0x20 or answer[3] or not found:
            raise Lost("wrong")
        return f"g{int.from_bytes(found[1]) - 1000}"


class Zabbix(Stream):
    """A passive check of the item "gen"."""

    def question(self, number):
        return b"ZBXD\1" + struct.pack("<Q", 3) + b"gen"

    def tag_of(self, number, answer):
        if len(answer) < 13 or len(answer) < 13 + int.from_bytes(answer[5:9], "little"):
            return None
        return named(answer, answer[:4] == b"ZBXD")
