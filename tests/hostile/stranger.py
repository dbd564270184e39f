# SPDX-License-Identifier: MIT
"""A user who has nothing to do with the daemon finds the launcher's socket in /proc/net/unix.

  stranger.py ADDRESS silent COUNT | lingering COUNT | noisy COUNT
"""

import os
import socket
import struct
import sys
import threading
import time

from harness.contract import send

os.setgroups([])
os.setgid(65534)
os.setuid(65534)
address, how, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


def lingering():
    """A connection whose close waits, because of SO_LINGER and data that nobody reads."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2**31 - 1))
    client.setblocking(False)
    try:
        while True:
            client.send(bytes(65536))
    except BlockingIOError:
        return client, (server, peer)


kept = []
for _ in range(count):
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(5)
    try:
        channel.connect("\0" + address)
        if how == "lingering":
            client, rest = lingering()
            kept.append((client, rest))  # this process's own close would wait, too
            send(channel, b"x" * 100, [client.fileno()])
            send(channel, b"y", [client.fileno()])
            # If this is the last copy of the socket, this close waits.
            threading.Thread(target=client.close, daemon=True).start()
        elif how == "noisy":
            send(channel, struct.pack("<II", 77, 1))
    except OSError:
        pass
    kept.append(channel)
print("end", flush=True)
time.sleep(300)
