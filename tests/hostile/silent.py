# SPDX-License-Identifier: MIT
"""Connects as often as one generation may, asks nothing, and does not end when it is told to."""

import signal
import sys
import time

from harness.contract import Launcher

signal.signal(signal.SIGTERM, signal.SIG_IGN)
launcher = Launcher(sys.argv[1])
channels = [launcher.connect() for _ in range(40)]
print("end", flush=True)
time.sleep(300)
