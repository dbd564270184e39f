# SPDX-License-Identifier: MIT
"""A worker tries to write to the board, and writes arbitrary numbers into the tally."""

import mmap
import os
import random
import struct
import sys
import time

from harness.contract import HELLO, SLOT, SLOT_SIZE, SLOTS_AT, TEMPLATE, VIEW_SIZE, Launcher

launcher, tcp = Launcher(sys.argv[1]), int(sys.argv[4])
board, tally = launcher.ask(HELLO)[3]
size = os.fstat(board).st_size
for name, attempt in (
        ("map", lambda: mmap.mmap(board, size)),
        ("write", lambda: os.pwrite(board, b"x", 0)),
        ("shrink", lambda: os.ftruncate(board, 0)),
        ("reopen", lambda: mmap.mmap(os.open(f"/proc/self/fd/{board}", os.O_RDWR), size)),
        ("shrink-tally", lambda: os.ftruncate(tally, 0))):
    try:
        attempt()
        print(name, "done", flush=True)
    except (OSError, ValueError) as error:
        print(name, "refused", type(error).__name__, flush=True)
print("slot", launcher.ask(SLOT)[:2], flush=True)
memory = mmap.mmap(tally, os.fstat(tally).st_size)
end = time.monotonic() + float(sys.argv[5])
chance = random.Random(1)
while time.monotonic() < end:
    for _ in range(200):
        at = chance.choice([SLOTS_AT + SLOT_SIZE * chance.randrange(8),
                            VIEW_SIZE * chance.randrange(8)])
        struct.pack_into("<I", memory, at, chance.choice([0, 1, 2, 0xffffffff, os.getpid()]))
    template = launcher.ask(TEMPLATE, 0, [tcp])
    if template[3]:
        print("template given", flush=True)
        break
print("end", flush=True)
time.sleep(300)
