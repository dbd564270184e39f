# SPDX-License-Identifier: MIT
"""A worker tells the token to others."""

import sys
import time

print("variable", sys.argv[1], flush=True)
print("end", flush=True)
time.sleep(300)
