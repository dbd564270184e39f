# SPDX-License-Identifier: MIT
"""Kills or stops a launcher right before one of its system calls."""

import signal
import subprocess

from harness.build import program


class Stopper:
    """Traces the process with that pid from now on; see programs/stopper.c."""

    def __init__(self, pid, number, how, *only):
        self.process = subprocess.Popen([program("stopper"), str(pid), str(number), how, *only],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "seized\n"

    @property
    def is_over(self):
        return self.process.poll() is not None

    def result(self):
        """Returns the words of its output.  Ends the trace if the call was not reached."""
        if not self.is_over:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        # Not communicate(), which does not know what readline() has read ahead.
        return self.process.stdout.read().split()

    def close(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()
