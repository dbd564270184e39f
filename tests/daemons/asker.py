#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Serves a port; at SIGUSR1 it makes each call of which the launcher is asked, and says so.

At SIGUSR2 four children, one after the other, bind, listen and accept.

asker.py TAG PORT DIRECTORY
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys

TAG, PORT, DIRECTORY = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.chdir(DIRECTORY)


def listener(port):
    tcp = socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind(("127.0.0.1", port))
    return tcp


def udp():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", PORT + 2))
    return made


def fork_and_accept():
    """In a process that has no slot yet."""
    server.setblocking(False)
    pid = os.fork()
    if pid == 0:
        try:
            server.accept()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    server.setblocking(True)


def children_that_bind(*_):
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            with listener(PORT + 10 + number) as own:
                own.listen(5)
                own.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    own.accept()
            os._exit(0)
        os.waitpid(pid, 0)
        print(f"{TAG}: child {number + 1} is done", file=sys.stderr, flush=True)


def calls():
    yield "bind", lambda: made.append(listener(PORT + 1))
    yield "listen", lambda: made[-1].listen(5)
    yield "shutdown", lambda: server_of_a_moment.shutdown(socket.SHUT_RD)
    yield "close", server_of_a_moment.close
    yield "bind unix", lambda: path.bind("socket")
    yield "listen unix", lambda: path.listen(5)
    yield "rename", lambda: os.rename("socket", "other")
    yield "unlink", lambda: os.unlink("other")
    yield "bind udp", lambda: made.append(udp())
    yield "connect udp", lambda: made[-1].connect(("127.0.0.1", PORT + 3))
    yield "connect", lambda: socket.create_connection(("127.0.0.1", PORT)).close()
    yield "exec", lambda: subprocess.run(["/bin/true"], check=True)
    yield "fork", fork_and_accept


def make_calls(*_):
    for name, call in calls():
        try:
            call()
        except OSError as error:
            print(f"{TAG}: {name}: {error}", file=sys.stderr)
        print(f"{TAG}: done: {name}", file=sys.stderr, flush=True)
    print(f"{TAG}: done", file=sys.stderr, flush=True)


made = []
path = socket.socket(socket.AF_UNIX)
server_of_a_moment = listener(PORT + 4)
server_of_a_moment.listen(1)
server = listener(PORT)
server.listen(50)
signal.signal(signal.SIGUSR1, make_calls)
signal.signal(signal.SIGUSR2, children_that_bind)
while True:
    connection, _ = server.accept()
    with connection:
        if connection.recv(100):
            connection.sendall(f"GEN {TAG} {os.getpid()}\n".encode())
