# SPDX-License-Identifier: MIT
"""Waiting for events, never for time to pass."""

import time


def wait_until(condition, deadline=10.0, reason="", pause=0.01):
    """Calls condition() until it returns something true, and returns that.

    `reason` (a text, or a function that returns one) says what did not happen.  A condition that
    takes long, as one that starts a command, is looked at less often: it is for the processes under
    test to use the processors.
    """
    end = time.monotonic() + deadline
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            why = reason() if callable(reason) else reason
            raise AssertionError(f"not within {deadline} s: {why or condition}")
        time.sleep(max(pause, 2 * (time.monotonic() - began)))
