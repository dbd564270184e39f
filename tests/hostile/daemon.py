#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A daemon of root with a TCP service, and a control socket in a directory that only root may enter.
Its worker runs as another user.  An attacker controls the worker, which executes an attack.

  daemon.py --tag TAG PORT DIRECTORY [ATTACK...]

The attack is a Python program.  Its arguments are the value of MOULT, PORT, DIRECTORY and the words
after ATTACK.  The attack may write files in DIRECTORY/worker.
"""

import os
import select
import socket
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, TESTS)
from harness import contract  # noqa: E402

tag, port, base, attack = sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]
tcp = socket.socket()
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
tcp.bind(("127.0.0.1", port))
tcp.listen(64)
os.makedirs(base + "/control", 0o700, exist_ok=True)
os.makedirs(base + "/worker", 0o755, exist_ok=True)
os.chown(base + "/worker", 33, 33)
try:
    os.unlink(base + "/control/socket")
except FileNotFoundError:
    pass
control = socket.socket(socket.AF_UNIX)
control.bind(base + "/control/socket")
os.chmod(base + "/control/socket", 0o600)
control.listen(8)
control.setblocking(False)
tcp.setblocking(False)
if attack and os.fork() == 0:
    variable = contract.find_variable()
    inherits = "--inherits" in attack
    if inherits:
        attack.remove("--inherits")
        tcp.set_inheritable(True)
    if "--root" in attack:
        attack.remove("--root")
    else:
        os.setgroups([])
        os.setgid(33)
        os.setuid(33)
    os.chdir(base + "/worker")
    output = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # Without LD_PRELOAD: an attacker's code makes raw system calls, past the library.
    os.execve("/usr/bin/python3", ["python3", "-u", attack[0], variable, str(port), base,
                                   *([str(tcp.fileno())] if inherits else []), *attack[1:]],
              {"PATH": "/usr/bin:/bin", "PYTHONPATH": TESTS})
poll = select.poll()
poll.register(tcp, select.POLLIN)
poll.register(control, select.POLLIN)
while True:
    for fd, _events in poll.poll(1000):
        try:
            connection, _ = (tcp if fd == tcp.fileno() else control).accept()
        except OSError:
            continue
        try:
            connection.settimeout(2)
            question = b""
            while not question.endswith(b"\n"):
                part = connection.recv(100)
                if not part:
                    break
                question += part
            connection.sendall(f"GEN {tag} {os.getpid()}\n".encode())
        except OSError:
            pass
        connection.close()
