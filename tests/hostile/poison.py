# SPDX-License-Identifier: MIT
"""A worker has inherited the TCP listener.  It sets an option there that keeps clients away."""

import ctypes
import socket
import struct
import sys
import time

how = sys.argv[5]
tcp = socket.socket(fileno=int(sys.argv[4]))
if how == "filter":
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # return 0: drop
    program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))
    tcp.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
else:
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"other\0")
print("end", flush=True)
time.sleep(300)
