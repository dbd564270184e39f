# SPDX-License-Identifier: MIT
"""A worker without a listener asks for the listeners of root.  It asks for the control socket by its
path, and for the TCP service by a socket of its own that is "renamed" over it.  Prints each answer."""

import socket
import sys
import time

from harness.contract import BIND, CONNECTED, LISTEN, MOVED, REPLACE, SHUT, TEMPLATE, UNLINKED, CLOSED
from harness.contract import Launcher, inet_address, pin, unix_address

launcher, port, base = Launcher(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def show(name, answer):
    print(name, answer[0], answer[1], "with" if answer[3] else "without", flush=True)


fresh = socket.socket(socket.AF_UNIX)
control = pin(base + "/control")
show("unlinked", launcher.ask(UNLINKED, 1, [control], address=unix_address("socket")))
show("bind-path", launcher.ask(BIND, fds=[fresh.fileno(), control], address=unix_address("socket")))
tcp = socket.socket()
show("bind-port", launcher.ask(BIND, fds=[tcp.fileno()], address=inet_address("127.0.0.1", port)))
mine = socket.socket(socket.AF_UNIX)
mine.bind("mine")
mine.listen(1)
here = pin(".")
launcher.ask(BIND, fds=[mine.fileno(), here], address=unix_address("mine"))
announced = launcher.ask(LISTEN, fds=[mine.fileno()], backlog=1)
show("replace-tcp", launcher.ask(REPLACE, 0, [here, control], address=unix_address("mine"),
                                 other=b"socket"))
show("replace-path", launcher.ask(REPLACE, 1, [here, control], address=unix_address("mine"),
                                  other=b"socket"))
# Verbs about a listener, sent with another socket than that listener's.
for name, verb in (("shut", SHUT), ("template", TEMPLATE), ("connected", CONNECTED),
                   ("again", LISTEN)):
    for listener in (0, 1):
        show(f"{name}-{listener}", launcher.ask(verb, listener, [mine.fileno()]))
        show(f"{name}-{listener}-fresh", launcher.ask(verb, listener, [tcp.fileno()]))
launcher.ask(CLOSED, 0, [mine.fileno()], answer=False)
show("moved", launcher.ask(MOVED, 1, [here, mine.fileno()], address=unix_address("mine")))
print("end", flush=True)
time.sleep(300)
