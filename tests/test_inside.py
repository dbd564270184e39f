# SPDX-License-Identifier: MIT
"""The library as a guest: what it costs the program that it lives in, and what it must not break."""

import subprocess

import pytest

from harness.build import program


def settler(*arguments):
    result = subprocess.run([program("settler"), *map(str, arguments)], capture_output=True,
                            text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "settled\n"), result.stderr


# ---- epoll entries are put in order by many threads at once, without a lock ----

@pytest.mark.parametrize("seed", [1, 100001])
def test_every_schedule_of_threads_ends_and_ends_right(seed):
    """Random schedules of 2 to 64 threads that ask, settle, and open and close the gate.

    Nobody makes more calls than the changes that came meanwhile account for, and in the end the
    kernel has what was asked for last.
    """
    settler("model", seed, 3000)


@pytest.mark.parametrize("count", [2, 64])
def test_threads_that_take_turns_do_not_disturb_each_other(count):
    """Each makes one step, then the next one does; all have finished after a few rounds."""
    settler("lockstep", count)


def test_64_real_threads_settle_while_gates_change():
    settler("threads", 64, 1000)
