# SPDX-License-Identifier: MIT
"""A worker sends a file whose file system never answers a close (FUSE_FLUSH).

  flush.py VARIABLE PORT DIRECTORY FILE COUNT
"""

import os
import sys
import time

from harness.contract import HELLO, Launcher

launcher, file, count = Launcher(sys.argv[1]), sys.argv[4], int(sys.argv[5])
held = os.open(file, os.O_RDONLY)
print("hello", launcher.ask(HELLO)[0], flush=True)
for number in range(count):
    try:
        print("answer", number, launcher.ask(HELLO, fds=[held], timeout=2)[0], flush=True)
    except OSError as error:
        print("answer", number, type(error).__name__, flush=True)
        time.sleep(0.2)
print("end", flush=True)
time.sleep(300)
