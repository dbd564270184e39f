# SPDX-License-Identifier: MIT
"""Sends a request of each verb to which this process has no right (the table in shim/contract.h).
Prints each answer.

  rights.py VARIABLE PORT DIRECTORY WHO WANTED

WANTED is the port that the process asks for.  The control socket is listener 1.
"""

import os
import signal
import socket
import sys
import tempfile
import time

from harness.contract import (BIND, CALLING, CLOSED, CONNECTED, HELLO, LISTEN, MOVED, REMOVED,
                              REPLACE, SHUT, SLOT, TEMPLATE, UNLINKED, BIND_BESIDE)
from harness.contract import Launcher, inet_address, pin, unix_address

launcher, base, who, wanted = Launcher(sys.argv[1]), sys.argv[3], sys.argv[4], int(sys.argv[5])
if who in ("old", "false"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
control = pin(base + "/control")
if who in ("stranger", "outsider"):
    place = tempfile.TemporaryDirectory()
    os.chdir(place.name)
if who == "stranger":
    os.chown(".", 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
here, mine, number = pin("."), socket.socket(socket.AF_UNIX), 1
mine.bind("mine")
mine.listen(1)
if who in ("old", "false"):  # the listener is its own, but the generation is old
    number = launcher.announce(mine, here, "mine")
    print("announced", number, flush=True)
    deadline = time.monotonic() + 60
    while not os.path.exists("old"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
if who == "dropped":
    launcher.announce(mine, here, "mine")
if who == "ignorant":
    launcher.token = "0" * 32
if who == "false":
    launcher.generation += 1


def fresh(family=socket.AF_INET):
    return socket.socket(family)


def ask(name, *request, **rest):
    try:
        error, _, _, fds = launcher.ask(*request, **rest)
    except TimeoutError:
        raise
    except OSError:
        error, fds = b"", []
    print(name, "gone" if error == b"" else error, "with" if fds else "without", flush=True)


def port_of(host):
    return {"address": inet_address(host, wanted)}


own, socket_there = unix_address("mine"), unix_address("socket")
listening, path, bound = fresh(), fresh(socket.AF_UNIX), fresh()
bound.bind(("127.0.0.1", 0))
ask("hello", HELLO)
ask("slot", SLOT)
ask("bind-port", BIND, -1, [listening.fileno()], **port_of("127.0.0.1"))
ask("bind-path", BIND, -1, [path.fileno(), control], address=socket_there)
ask("bind-beside", BIND_BESIDE, -1, [listening.fileno()], **port_of("0.0.0.0"))
ask("calling", CALLING, -1, [listening.fileno()], **port_of("127.0.0.1"))
ask("listen", LISTEN, -1, [bound.fileno()], backlog=1)
ask("moved", MOVED, number, [here, mine.fileno()], address=own)
ask("unlinked", UNLINKED, 1, [control], address=socket_there)
ask("replace", REPLACE, 1, [here, control], address=own, other=b"socket")
ask("removed", REMOVED, -1, [control], address=socket_there)
for verb_name, verb in (("again", LISTEN), ("template", TEMPLATE), ("connected", CONNECTED),
                        ("shut", SHUT)):
    ask(verb_name, verb, number, [mine.fileno()])
if who == "other":  # the file of a socket is not the socket, even if the inode numbers are equal
    for verb_name, verb in (("again", LISTEN), ("template", TEMPLATE), ("connected", CONNECTED),
                            ("shut", SHUT)):
        ask(f"file-{verb_name}", verb, number, [pin("mine")])
if who not in ("old", "false"):
    try:
        launcher.ask(CLOSED, 1, [mine.fileno()], answer=False)
    except OSError:
        pass
print("end", flush=True)
with open(f"{base}/worker/asked" if who == "dropped" else "asked", "w"):
    pass
if who not in ("stranger", "outsider", "old", "false"):
    time.sleep(300)
