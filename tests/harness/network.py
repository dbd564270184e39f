# SPDX-License-Identifier: MIT
"""A network namespace per test: all ports are free, and nothing listens to the world.

Also says which ports have listeners, and what a service answers.
"""

import ctypes
import fcntl
import itertools
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1

# Without root the tests share the machine's ports: these are below the ephemeral ports.
FIRST_PORT, LAST_PORT = 10000, 30000
_number = itertools.count(os.getpid() * 37 % (LAST_PORT - FIRST_PORT))
_reserved = []


def enter_namespace():
    """Moves this thread, and all that it starts from now on, to a network namespace of its own."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def new_port():
    """A port that is free on any address of either family; reserved until release_ports()."""
    while True:
        port = FIRST_PORT + next(_number) % (LAST_PORT - FIRST_PORT)
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0moult-test-port-{port}")
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                with socket.socket(family) as probe:
                    if family == socket.AF_INET6:
                        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    probe.bind((address, port))
        except OSError:
            lock.close()
            continue
        _reserved.append(lock)
        return port


def release_ports():
    while _reserved:
        _reserved.pop().close()


def listens(host, port):
    """Whether a socket listens there.  Reads the kernel's table: the daemon would serve a
    connection."""
    table = "tcp6" if ":" in host else "tcp"
    with open(f"/proc/thread-self/net/{table}") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return any(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def ask(port, host="127.0.0.1", question=b"hello\n"):
    """Asks one question on a connection of its own; returns the first line of the answer."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(question)
        return connection.makefile().readline()


def listens_unix(name):
    """Whether a UNIX socket of that path ("@name": abstract) listens, or takes datagrams."""
    if not str(name).startswith("@") and not os.path.exists(name):
        return False
    # the kernel's table has the name at bind(), even if the path was renamed since
    names = (str(name), f"{name}.tmp")
    with open("/proc/thread-self/net/unix") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return any(row[7:] and row[7] in names and (row[4] == "0002" or row[3] == "00010000")
               for row in rows)


def ask_unix(name, kind=socket.SOCK_STREAM, question=b"hello\n"):
    """Like ask(), for a UNIX socket by path or "@name"."""
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.settimeout(10)
        connection.connect("\0" + name[1:] if str(name).startswith("@") else str(name))
        connection.sendall(question)
        return connection.recv(4096).decode()
