# SPDX-License-Identifier: MIT
"""A worker sends a socket that one of its threads keeps locked.  The thread sends from the mapped
memory of a file whose file system never answers (FUSE_READ).

  lock.py VARIABLE PORT DIRECTORY FILE COUNT
"""

import mmap
import os
import socket
import sys
import threading
import time

from harness.contract import LISTEN, Launcher

launcher, count = Launcher(sys.argv[1]), int(sys.argv[5])
memory = mmap.mmap(os.open(sys.argv[4], os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ)
far = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(far.getsockname())
threading.Thread(target=near.send, args=(memory,), daemon=True).start()
time.sleep(0.5)
for number in range(count):
    try:
        print("answer", number, launcher.ask(LISTEN, fds=[near.fileno()], timeout=2)[0], flush=True)
    except OSError as error:
        print("answer", number, type(error).__name__, flush=True)
        time.sleep(0.2)
print("end", flush=True)
time.sleep(300)
