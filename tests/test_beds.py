# SPDX-License-Identifier: MIT
"""The real systemd of the tests leaves nothing behind."""

import signal
import subprocess

import pytest

from harness import processes
from harness.systemd import BEDS
from harness.waiting import wait_until

pytestmark = pytest.mark.daemons


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_bed_ends_with_the_script_that_has_booted_it(surroundings, number):
    """At SIGTERM it powers off; at SIGKILL the kernel kills all that runs in it."""
    boot = subprocess.Popen([BEDS / "boot", "/"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    with boot.stdin, boot.stdout:
        init = int(boot.stdout.readline())
        inside = processes.descendants(init)
        assert processes.name(init) == "systemd" and inside
        boot.send_signal(number)
        boot.wait(20)
    everything = [init, *(process.pid for process in inside)]
    wait_until(lambda: not any(processes.alive(pid) for pid in everything), 10,
               lambda: f"left: {[pid for pid in everything if processes.alive(pid)]}")
