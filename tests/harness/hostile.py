# SPDX-License-Identifier: MIT
"""A daemon of root with a compromised worker, which runs as nobody and holds the token.

    python3 hostile.py --tag TAG --port PORT --directory PLACE --bare BARE [--fail] ATTACK

The master serves PORT.  In the first generation a worker without libmoult.so runs ATTACK, one of
the functions below, in the directory PLACE, which the worker owns.  An attack goes on when the test
makes a file there: see wait().  With --fail the generation listens, and exits when there is a file
"fail".
"""

import argparse
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
    """Waits until the test makes that file."""
    end = time.monotonic() + deadline
    while not os.path.exists(name):
        if time.monotonic() > end:
            sys.exit(f"hostile: nobody says {name}")
        time.sleep(0.01)


def here():
    return contract.pin(".")


def exchange(a, b):
    return LIBC.renameat2(-100, a.encode(), -100, b.encode(), RENAME_EXCHANGE)


def bound(name, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(name)
    if kind != socket.SOCK_DGRAM:
        sock.listen(64)
    return sock


def with_linger():
    """Returns (a connection whose last close() blocks for years, its other end, the listener)."""
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


def give_away(connection, sock):
    """Sends the socket and closes both: the last descriptor is then in the queue of the
    connection."""
    contract.send(connection, b"x", [sock.fileno()])
    sock.close()
    connection.close()


def close(launcher, number, sock):
    """Closes the socket as the library does, which tells the launcher first."""
    launcher.ask(contract.CLOSED, number, [sock.fileno()], answer=False)
    sock.close()


def close_and_stay(launcher, number, sock):
    close(launcher, number, sock)
    say("closed")
    wait("done")


def unlinked(launcher, number, directory, name):
    return launcher.ask(contract.UNLINKED, number, [directory],
                        address=contract.unix_address(name))[0]


def moved(launcher, number, directory, sock, name):
    return launcher.ask(contract.MOVED, number, [directory, sock.fileno()],
                        address=contract.unix_address(name))[0]


def replace(launcher, number, place, other):
    """Renames the socket at the first place over the second.  A place is a directory and a name."""
    return launcher.ask(contract.REPLACE, number, [place[0], other[0]],
                        address=contract.unix_address(place[1]), other=os.fsencode(other[1]))[0]


# ---- attacks ----

def swaps_its_path(launcher, victim):
    """Swaps its path all the time: now a socket with set-id bits, now a link to the victim."""
    sock = bound("socket")
    os.chmod("socket", 0o6777)
    os.symlink(victim, "link")
    launcher.announce(sock, here(), "socket")
    say("announced")
    while not os.path.exists("done"):
        exchange("socket", "link")
    say("ends")


def has_a_socket(launcher):
    """Announces a socket, and closes it when the test says so."""
    sock = bound("socket")
    os.chmod("socket", 0o6751)
    number = launcher.announce(sock, here(), "socket")
    say("announced", number)
    wait("close")
    say("unlinked", unlinked(launcher, number, here(), "socket"))
    close(launcher, number, sock)
    wait("done")


def names_with_slashes(launcher, victim):
    """Tries to name a file outside of the directory that it sends along."""
    sock = bound("socket")
    place = here()
    number = launcher.announce(sock, place, "socket")
    for name in (victim, "../" + victim.rpartition("/")[2], "./socket", "..", "."):
        say("slash moved", moved(launcher, number, place, sock, name))
        say("slash unlinked", unlinked(launcher, number, place, name))
        say("slash replace", replace(launcher, number, (place, name), (place, "socket")))
        say("slash other", replace(launcher, number, (place, "socket"), (place, name)))
    # A name without a slash in the victim's directory, and a name that is a link to the victim.
    directory, _, name = victim.rpartition("/")
    os.symlink(victim, "link")
    for elsewhere in (contract.pin(directory), name), (place, "link"):
        say("name moved", moved(launcher, number, elsewhere[0], sock, elsewhere[1]))
        say("name unlinked", unlinked(launcher, number, *elsewhere))
        say("name replace", replace(launcher, number, elsewhere, (place, "socket")))
        say("name other", replace(launcher, number, (place, "socket"), elsewhere))
    # A "directory" that is a link to the victim's.
    os.symlink(directory, "directory")
    link = os.open("directory", os.O_PATH | os.O_NOFOLLOW)
    say("link moved", moved(launcher, number, link, sock, name))
    say("link unlinked", unlinked(launcher, number, link, name))
    say("tried")
    wait("close")
    unlinked(launcher, number, place, "socket")
    close(launcher, number, sock)
    wait("done")


def long_addresses(launcher):
    """Addresses as long as a message allows, and longer, in each verb that has one."""
    sock, tcp, place = bound("socket"), socket.socket(), here()
    number = launcher.announce(sock, place, "socket")
    for length in (109, 110, 111, 127, 128, 129, 2**32 - 1):
        for first in b"A", b"\0":
            address = (struct.pack("=H", socket.AF_UNIX) + first).ljust(min(length, 128), b"A")
            more = {"address": address, "length": length}
            for verb in (contract.BIND, contract.CALLING, contract.BIND_BESIDE):
                for fds in ([sock.fileno(), place], [sock.fileno()], [tcp.fileno()]):
                    say("address", length, *launcher.ask(verb, fds=fds, **more)[:2])
            for verb, listener, fds in (
                    (contract.MOVED, -1, [place]), (contract.MOVED, number, [place, sock.fileno()]),
                    (contract.UNLINKED, number, [place]), (contract.REMOVED, -1, [place]),
                    (contract.REPLACE, number, [place, place])):
                say("place", length, *launcher.ask(verb, listener, fds, other=b"A" * 108,
                                                   **more)[:2])
    # Fills all of `other`, without a NUL.
    for length in (107, 108):
        say("other", length, replace(launcher, number, (place, "socket"), (place, "A" * length)))
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
    place = contract.pin(directory)
    number = launcher.announce(sock, place, name)
    say("announced", number)
    say("moved", moved(launcher, number, place, sock, name))
    wait("close")
    say("unlinked", unlinked(launcher, number, place, name))
    close(launcher, number, sock)
    wait("done")


def pokes_elsewhere(launcher, victims):
    """Replaces its paths by links to sockets of others before the launcher pokes."""
    for name, kind in (("stream", socket.SOCK_STREAM), ("datagram", socket.SOCK_DGRAM)):
        sock = bound(name, kind)
        number = launcher.announce(sock, here(), name)
        os.unlink(name)
        os.symlink(f"{victims}/{name}", name)
        launcher.claim_inflight(5)
        say("shut", launcher.ask(contract.SHUT, number, [sock.fileno()])[0])
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
    """Turns a listener into a connection with unsendable data; the launcher has the last
    descriptor."""
    far = socket.create_server(("127.0.0.1", 0))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    number = launcher.ask(contract.LISTEN, fds=[sock.fileno()], backlog=1)[1]
    assert number >= 0
    assert LIBC.connect(sock.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16) == 0
    sock.connect(far.getsockname())
    fill(sock)
    close_and_stay(launcher, number, sock)


def lingers_in_a_queue(launcher):
    """Puts such a connection into the queue of a UNIX listener."""
    slow = with_linger()
    sock = bound("socket")
    number = launcher.announce(sock, here(), "socket")
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    give_away(client, slow[0])
    close_and_stay(launcher, number, sock)


def lingers_in_a_poke(launcher):
    """Sends such a connection as the answer to a poke."""
    slow = with_linger()
    sock = bound("socket")
    number = launcher.announce(sock, here(), "socket")
    launcher.claim_inflight(1)
    say("shut", launcher.ask(contract.SHUT, number, [sock.fileno()])[0])
    launcher.claim_inflight(0)
    poke, _ = sock.accept()
    give_away(poke, slow[0])
    say("closed")
    wait("done")


def asks_what_it_cannot_read(launcher):
    """Asks whether a file that only root may read is the pid file of the newer generation."""
    wait("ask")
    for name in "secret", "public":
        say("place", name, launcher.ask(contract.REMOVED, fds=[here()],
                                        address=contract.unix_address(name))[0])
        say("file", name, launcher.ask(contract.REMOVED, fds=[contract.pin(name)])[0])
    wait("done")


def binds_where_nobody_answers(launcher, directory):
    place = contract.pin(directory)
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
