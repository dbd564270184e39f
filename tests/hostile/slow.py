# SPDX-License-Identifier: MIT
"""Many threads of a worker ask about paths in a directory whose file system answers slowly.

  slow.py VARIABLE PORT DIRECTORY PLACE SECONDS VERB
"""

import collections
import signal
import socket
import sys
import threading
import time

from harness import contract
from harness.contract import Launcher, pin, unix_address

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # its generation may be told to end meanwhile
launcher, place, seconds = Launcher(sys.argv[1]), sys.argv[4], float(sys.argv[5])
verb = getattr(contract, sys.argv[6])
directory = pin(place)
answers = collections.Counter()
until = time.monotonic() + seconds


def ask():
    sock = socket.socket(socket.AF_UNIX)
    while time.monotonic() < until:
        fds = [sock.fileno(), directory] if verb == contract.BIND else [directory]
        number = 1 if verb == contract.UNLINKED else -1
        name = "file" if verb == contract.REMOVED else "socket"
        try:
            answers[launcher.ask(verb, number, fds, address=unix_address(name))[0]] += 1
        except OSError as error:
            answers[type(error).__name__] += 1


threads = [threading.Thread(target=ask) for _ in range(31)]
for thread in threads:
    thread.start()
print("begins", flush=True)
for thread in threads:
    thread.join()
print("answers", dict(answers), flush=True)
print("end", flush=True)
time.sleep(300)
