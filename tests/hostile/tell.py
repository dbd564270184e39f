# SPDX-License-Identifier: MIT
"""A worker prints its token, so that other processes learn it."""

import sys
import time

print("variable", sys.argv[1], flush=True)
print("end", flush=True)
time.sleep(300)
