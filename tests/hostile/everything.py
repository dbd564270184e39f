# SPDX-License-Identifier: MIT
"""A worker that knows the token sends messages of every kind for some seconds, and writes arbitrary
numbers into the tally.

  everything.py VARIABLE PORT DIRECTORY LISTENER SECONDS VICTIM
"""

import mmap
import os
import random
import signal
import socket
import struct
import sys
import time

from harness import contract
from harness.contract import HELLO, Launcher, inet_address, send, unix_address

launcher, port, base = Launcher(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
listener, seconds, victim = int(sys.argv[4]), float(sys.argv[5]), sys.argv[6]
chance = random.Random(1)
tally = launcher.ask(HELLO)[3][1]
memory = mmap.mmap(tally, os.fstat(tally).st_size)
names = [b"a", b"b", b"./a", b"a/../a", b"", b".", b"..", b"\0abstract", b"x" * 107, b"x" * 126,
         b"sub/e", b"link", victim.encode(), os.path.basename(victim).encode(), b"socket"]
os.makedirs("sub", exist_ok=True)
if not os.path.lexists("link"):
    os.symlink(victim, "link")
pool = []


def fresh_socket():
    family = chance.choice([socket.AF_UNIX, socket.AF_INET, socket.AF_INET6])
    kinds = [socket.SOCK_STREAM, socket.SOCK_DGRAM]
    one = socket.socket(family, chance.choice(
        kinds + [socket.SOCK_SEQPACKET] if family == socket.AF_UNIX else kinds))
    try:
        if family != socket.AF_UNIX and chance.random() < 0.4:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if chance.random() < 0.6:
            if family == socket.AF_UNIX:
                name = chance.choice(names[:2] + [b"\0abstract"])
                if name[0] and chance.random() < 0.7 and os.path.lexists(name):
                    os.unlink(name)
                one.bind(name)
            else:
                one.bind(("127.0.0.1" if family == socket.AF_INET else "::1",
                          chance.choice([0, 8081, 8082])))
        if chance.random() < 0.5 and one.type != socket.SOCK_DGRAM:
            one.listen(3)
    except OSError:
        pass
    return one


def descriptor():
    """A descriptor of this process, and whether to close it afterwards."""
    draw = chance.random()
    if draw < 0.15:
        return listener, False
    if draw < 0.6:
        if len(pool) >= 40:
            pool.pop(chance.randrange(40)).close()
        pool.append(fresh_socket())
        return pool[-1].fileno(), False
    if draw < 0.9:
        return os.open(chance.choice([".", "sub", "/tmp", base, base + "/control"]),
                       os.O_PATH), True
    return os.open(chance.choice(["/etc/passwd", "/dev/null", "link"]),
                   chance.choice([os.O_RDONLY, os.O_PATH]) if chance.random() < 0.5
                   else os.O_PATH), True


def address():
    draw = chance.random()
    if draw < 0.5:
        return unix_address(chance.choice(names))
    if draw < 0.8:
        return inet_address(chance.choice(["127.0.0.1", "0.0.0.0"]),
                            chance.choice([0, port, 8081, 8082]))
    if draw < 0.9:
        return b""
    return bytes(chance.randrange(256) for _ in range(chance.randrange(129)))


def scribble():
    for _ in range(20):
        at = chance.choice([contract.VIEW_SIZE * chance.randrange(contract.LISTENERS),
                            contract.SLOTS_AT + contract.SLOT_SIZE * chance.randrange(16)])
        struct.pack_into("<I", memory, at, chance.choice(
            [0, 1, 2, 3, 0xffffffff, os.getpid(), chance.getrandbits(32)]))


def one_request():
    fds, closing = [], []
    for _ in range(chance.choice([0, 1, 1, 2, 2, 2, 3, 20])):
        try:
            fd, ours = descriptor()
        except OSError:
            continue
        fds.append(fd)
        if ours:
            closing.append(fd)
    verb = chance.randrange(0, 17)
    if verb == contract.SHUT and chance.random() < 0.9:
        verb = contract.BIND
    message = launcher.message(
        verb, chance.choice([-1, -1, 0, 1, 2, 3, 4095, 4096, 2**31 - 1, -2**31]),
        chance.choice([0, 1, -1, 2**31 - 1]), address(), chance.choice(names),
        chance.choice([None, None, None, 0, 110, 128, 129, 2**32 - 1]))
    draw = chance.random()
    if draw < 0.05:
        message = message[:chance.randrange(len(message))]
    elif draw < 0.1:
        message += bytes(chance.randrange(200))
    try:
        channel = launcher.connect(10)
        send(channel, message, fds)
        if chance.random() < 0.9:
            for each in contract.receive(channel)[3]:
                os.close(each)
        channel.close()
    except TimeoutError:
        print("no answer to", verb, len(message), len(fds), flush=True)
    except OSError:
        pass
    for fd in closing:
        os.close(fd)


signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("begins", flush=True)
end, count = time.monotonic() + seconds, 0
while time.monotonic() < end:
    if chance.random() < 0.2:
        scribble()
    one_request()
    count += 1
    if count % 500 == 0:
        pid = os.fork()
        if pid == 0:
            one_request()
            os._exit(0)
        os.waitpid(pid, 0)
print("requests", count, flush=True)
print("end", flush=True)
time.sleep(300)
