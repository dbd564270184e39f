# SPDX-License-Identifier: MIT
"""A process of a draining generation asks for a service that only the newer generation has."""

import mmap
import signal
import socket
import struct
import sys
import time

from harness.contract import BIND, BOARD_NEWNESS, HELLO, LISTEN, Launcher, inet_address

signal.signal(signal.SIGTERM, signal.SIG_IGN)
launcher, port = Launcher(sys.argv[1]), int(sys.argv[4])
board = mmap.mmap(launcher.ask(HELLO)[3][0], 4096, prot=mmap.PROT_READ)
deadline = time.monotonic() + 60
while not struct.unpack_from("<I", board, BOARD_NEWNESS)[0] and time.monotonic() < deadline:
    time.sleep(0.005)
print("superseded", flush=True)
count = given = 0
while count < 200:
    fresh = socket.socket()
    try:
        answer = launcher.ask(BIND, fds=[fresh.fileno()], address=inet_address("127.0.0.1", port))
    except OSError:
        break
    given += bool(answer[3])
    count += 1
    fresh.close()
    time.sleep(0.005)
other = socket.socket()
other.bind(("127.0.0.1", 0))
try:
    print("listen", launcher.ask(LISTEN, fds=[other.fileno()], backlog=1)[0], flush=True)
except OSError as error:
    print("listen", error, flush=True)
print("given", given, "of", count, flush=True)
print("end", flush=True)
