# SPDX-License-Identifier: MIT
"""A program on its own, without a launcher."""

import contextlib
import os
import signal
import subprocess
import tempfile

from harness.moult import clean_environment
from harness.network import listens, listens_unix
from harness.processes import alive, descendants
from harness.waiting import wait_until


class Plain:
    """Runs a program, with the library preloaded if `preload` names it."""

    def __init__(self, command, preload=None, **environment):
        # Files, not pipes: a child that outlives the program would keep a pipe open.
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        if preload:
            environment["LD_PRELOAD"] = f"{os.environ.get('MOULT_PRELOAD', '')} {preload}".strip()
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL,
            stdout=self.out, stderr=self.err, env=clean_environment(**environment),
            start_new_session=True)

    def wait_listening(self, port, host="127.0.0.1", deadline=10.0):
        wait_until(lambda: listens(host, port), deadline, f"nobody listens on {host}:{port}")
        return self

    def wait_listening_unix(self, name, deadline=10.0):
        wait_until(lambda: listens_unix(name), deadline, f"nobody listens on {name}")
        return self

    def end(self, number=signal.SIGTERM):
        """Sends the signal; returns exit status, stdout and stderr."""
        if alive(self.process.pid):
            self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(20)
        return status, self.written(self.out), self.written(self.err)

    @staticmethod
    def written(file):
        # Not by seek(): the program writes at the offset that it shares with this descriptor.
        return os.pread(file.fileno(), 1 << 22, 0).decode(errors="replace")

    def close(self):
        """Kills the program with all its descendants, if the test has not ended it."""
        if self.process.poll() is None:
            for process in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait(20)
        self.out.close()
        self.err.close()
