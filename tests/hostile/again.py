# SPDX-License-Identifier: MIT
"""A worker announces again and again that it is about to bind a UDP port with SO_REUSEPORT."""

import socket
import sys
import time

from harness.contract import BIND, Launcher, inet_address

launcher, port = Launcher(sys.argv[1]), int(sys.argv[4])
print("end", flush=True)
kept = []
while True:
    mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept = [*kept[-20:], mine]
    for each in kept:
        launcher.ask(BIND, fds=[each.fileno()], address=inet_address("127.0.0.1", port))
    time.sleep(0.1)
