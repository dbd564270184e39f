# SPDX-License-Identifier: MIT
"""Opens more connections than one generation may have, asks nothing, and ignores the stop signal."""

import signal
import sys
import time

from harness.contract import Launcher

signal.signal(signal.SIGTERM, signal.SIG_IGN)
launcher = Launcher(sys.argv[1])
channels = [launcher.connect() for _ in range(40)]
print("end", flush=True)
time.sleep(300)
