# SPDX-License-Identifier: MIT
"""A daemon of root's whose worker has been taken over: it is nobody, and holds the token.

    python3 hostile.py --tag TAG --port PORT --directory PLACE --bare BARE [--fail] ATTACK

The master serves PORT.  In the first generation a worker, without libmoult.so, runs ATTACK of the
functions below in the directory PLACE, which is its own.  It goes on when the test makes a file
there: see wait().  --fail: the generation listens, and exits when there is a file "fail".
"""

import argparse
import array
import ctypes
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import contract  # noqa: E402

NOBODY = 65534
RENAME_EXCHANGE = 2
LIBC = ctypes.CDLL(None, use_errno=True)


def say(*words):
    print("hostile:", *words, flush=True)


def wait(name, deadline=60):
    """Until the test says so."""
    end = time.monotonic() + deadline
    while not os.path.exists(name):
        if time.monotonic() > end:
            sys.exit(f"hostile: nobody says {name}")
        time.sleep(0.01)


def here():
    return os.open(".", os.O_PATH | os.O_DIRECTORY)


def exchange(a, b):
    return LIBC.renameat2(-100, a.encode(), -100, b.encode(), RENAME_EXCHANGE)


def bound(name, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(name)
    if kind != socket.SOCK_DGRAM:
        sock.listen(64)
    return sock


def with_linger():
    """A connection whose last close() waits for years: (it, the other end, who listens)."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    return fill(client), server.accept()[0], server


def fill(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2**31 - 1))
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        return client


def send_descriptor(connection, sock):
    connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                 array.array("i", [sock.fileno()]))])


# ---- attacks ----

def swaps_its_path(launcher, victim):
    """Its socket, with set-id bits, and a link to the victim take turns, all the time."""
    sock = bound("socket")
    os.chmod("socket", 0o6777)
    os.symlink(victim, "link")
    launcher.announce(sock, here(), "socket")
    say("announced")
    while not os.path.exists("done"):
        exchange("socket", "link")
    say("ends")


def has_a_socket(launcher):
    """And does nothing more to it than the test says."""
    sock = bound("socket")
    os.chmod("socket", 0o6751)
    number = launcher.announce(sock, here(), "socket")
    say("announced", number)
    wait("close")
    launcher.ask(contract.UNLINKED, listener=number)
    sock.close()
    launcher.ask(contract.CLOSED, listener=number, answer=False)
    wait("done")


def names_with_slashes(launcher, victim):
    """Nothing outside of the directory that came along can be named."""
    sock = bound("socket")
    place = here()
    number = launcher.announce(sock, place, "socket")
    for name in (victim, "../" + victim.rpartition("/")[2], "./socket", "..", "."):
        address = contract.unix_address(name)
        say("moved", launcher.ask(contract.MOVED, listener=number, fds=[place],
                                  address=address)[0])
        say("unlinked", launcher.ask(contract.UNLINKED, listener=number, fds=[place],
                                     address=address)[0])
        say("replace", launcher.ask(contract.REPLACE, listener=0, fds=[place],
                                    address=address)[0])
    say("tried")
    wait("done")


def long_addresses(launcher):
    """As long as a message has room for, in each verb that has one."""
    sock, tcp, place = bound("socket"), socket.socket(), here()
    for length in (111, 127, 128):
        for first in b"A", b"\0":
            address = struct.pack("=H", socket.AF_UNIX) + first + b"A" * (length - 3)
            for verb in (contract.BIND, contract.CALLING, contract.YIELD):
                launcher.ask(verb, fds=[sock.fileno(), place], address=address)
                launcher.ask(verb, fds=[tcp.fileno(), place], address=address)
            launcher.ask(contract.LISTEN, backlog=1, fds=[sock.fileno()])
            for verb in (contract.MOVED, contract.UNLINKED, contract.REPLACE, contract.REMOVED):
                for number in (-1, 0):
                    say("refused" if launcher.ask(verb, listener=number, fds=[place],
                                                  address=address)[0] < 0 else "taken")
    say("tried")
    wait("done")


def same_inode_elsewhere(launcher, directory, name, inode):
    """A socket with the inode number of another one, on another file system."""
    while True:
        with open("pad", "w") as file:
            made = os.fstat(file.fileno()).st_ino
        os.unlink("pad")
        if made >= int(inode) - 1:
            break
    sock = bound("socket")
    assert os.stat("socket").st_ino == int(inode), os.stat("socket")
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    number = launcher.announce(sock, place, name)
    say("announced", number)
    say("moved", launcher.ask(contract.MOVED, listener=number, fds=[place],
                              address=contract.unix_address(name))[0])
    wait("close")
    launcher.ask(contract.UNLINKED, listener=number)
    sock.close()
    launcher.ask(contract.CLOSED, listener=number, answer=False)
    wait("done")


def pokes_elsewhere(launcher, victims):
    """Its paths have become links to others' sockets when the launcher pokes."""
    for name, kind in (("stream", socket.SOCK_STREAM), ("datagram", socket.SOCK_DGRAM)):
        sock = bound(name, kind)
        number = launcher.announce(sock, here(), name)
        os.unlink(name)
        os.symlink(f"{victims}/{name}", name)
        launcher.claim_inflight(5)
        launcher.ask(contract.SHUT, listener=number)
        launcher.claim_inflight(0)
        sock.setblocking(True)
        sock.settimeout(10)
        if kind == socket.SOCK_STREAM:
            sock.accept()
        else:
            sock.recv(1)
        say("poked")
    say("tried")
    wait("done")


def lingers_as_a_listener(launcher):
    """A listener that has become a connection with data that cannot be sent: the launcher's is the
    last descriptor of it."""
    far = socket.create_server(("127.0.0.1", 0))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    number = launcher.ask(contract.LISTEN, backlog=1, fds=[sock.fileno()])[1]
    assert number >= 0
    assert LIBC.connect(sock.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16) == 0
    sock.connect(far.getsockname())
    fill(sock)
    sock.close()
    launcher.ask(contract.CLOSED, listener=number, answer=False)
    say("closed")
    wait("done")


def lingers_in_a_queue(launcher):
    """The same, in the queue of a UNIX listener."""
    slow = with_linger()
    sock = bound("socket")
    number = launcher.announce(sock, here(), "socket")
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    send_descriptor(client, slow[0])
    slow[0].close()
    client.close()
    sock.close()
    launcher.ask(contract.CLOSED, listener=number, answer=False)
    say("closed")
    wait("done")


def lingers_in_a_poke(launcher):
    """The same, sent as an answer to a poke."""
    slow = with_linger()
    sock = bound("socket")
    number = launcher.announce(sock, here(), "socket")
    launcher.claim_inflight(1)
    launcher.ask(contract.SHUT, listener=number)
    launcher.claim_inflight(0)
    poke, _ = sock.accept()
    send_descriptor(poke, slow[0])
    slow[0].close()
    poke.close()
    say("closed")
    wait("done")


def asks_what_it_cannot_read(launcher):
    """Is that the pid file of the newer generation, which only root may read?"""
    wait("ask")
    say("removed", launcher.ask(contract.REMOVED, fds=[here()],
                                address=contract.unix_address("secret"))[0])
    say("removed", launcher.ask(contract.REMOVED, fds=[here()],
                                address=contract.unix_address("public"))[0])
    wait("done")


def binds_where_nobody_answers(launcher, directory):
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    for number in range(4):
        sock = socket.socket(socket.AF_UNIX)
        say("bind", number, launcher.ask(contract.BIND, fds=[sock.fileno(), place],
                                         address=contract.unix_address(f"socket{number}"))[0])
    say("tried")
    wait("done")


# ---- the daemon ----

def run_attack(name, *more):
    os.chdir(os.environ["PLACE"])
    globals()[name](contract.Launcher(os.environ["TOKEN"]), *more)


def start_worker(options):
    token = contract.find_variable()
    if os.fork():
        return
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execve(options.bare, [options.bare, sys.executable, __file__, "attack", *options.attack],
              {"PLACE": options.directory, "TOKEN": token, "PATH": "/usr/bin:/bin"})


def main():
    if sys.argv[1] == "attack":
        run_attack(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser()
    for name in "tag", "directory", "bare":
        parser.add_argument(f"--{name}")
    parser.add_argument("--port", type=int)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("attack", nargs="*")
    options = parser.parse_args()
    server = socket.create_server(("127.0.0.1", options.port), backlog=64)
    if options.fail:
        wait(f"{options.directory}/fail")
        sys.exit(1)
    if options.attack:
        start_worker(options)
    while True:
        client, _ = server.accept()
        client.recv(64)
        client.send(f"GEN {options.tag} {os.getpid()}\n".encode())
        client.close()


main()
