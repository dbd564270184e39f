# SPDX-License-Identifier: MIT
"""A worker listens on thousands of sockets, and announces hundreds more."""

import socket
import sys
import time

from harness.contract import BIND, LISTEN, Launcher, pin, unix_address

launcher, count = Launcher(sys.argv[1]), int(sys.argv[4])
kept = 0
for i in range(count):
    mine = socket.socket(socket.AF_UNIX)
    mine.bind(f"\0{launcher.token[:8]}-{i}")
    mine.listen(1)
    kept += launcher.ask(LISTEN, fds=[mine.fileno()], backlog=1)[1] >= 0
    mine.close()
here = pin(".")
for i in range(count // 4):
    mine = socket.socket(socket.AF_UNIX)
    launcher.ask(BIND, fds=[mine.fileno(), here], address=unix_address(f"p{i}"))
    mine.close()
print("kept", kept, flush=True)
print("end", flush=True)
time.sleep(300)
