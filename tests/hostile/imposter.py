# SPDX-License-Identifier: MIT
"""A user who has nothing to do with the daemon answers at the address of a launcher that has died.

  imposter.py ADDRESS     prints what processes send to it
"""

import os
import socket
import struct
import sys

from harness.contract import send

os.setgroups([])
os.setgid(65534)
os.setuid(65534)
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind("\0" + sys.argv[1])
server.listen(8)
print("listens", flush=True)
while True:
    channel, _ = server.accept()
    data, ancillary, _flags, _address = channel.recvmsg(400, socket.CMSG_SPACE(32))
    if data:
        print("got", len(data), "bytes and", len(ancillary), "messages of descriptors", flush=True)
    short = os.memfd_create("x")
    try:
        send(channel, struct.pack("<iii", 0, -1, 0), [short, short])
    except OSError:
        pass
    channel.close()
