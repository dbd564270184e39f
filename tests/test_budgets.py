# SPDX-License-Identifier: MIT
"""Processes that are expensive to inspect in /proc: the launcher goes on and answers."""

import pytest

from harness.build import SANITISER, program
from harness.network import ask
from harness.waiter import waiter
from harness.waiting import wait_until


def beside(directory, habit, processes, daemon):
    """The command of a daemon with a hoarder in its process tree, and the file that the hoarder
    makes."""
    flag = directory / "hoarded"
    hoarder = [program("hoarder"), habit, str(processes), str(flag)]
    # Without the library, which a compromised process would not load either
    runtime = f"LD_PRELOAD={SANITISER}" if SANITISER else "NONE="
    script = 'r=$1 h=$2 n=$3 c=$4 f=$5; shift 5; env -i "$r" "$h" "$n" "$c" "$f" & exec "$@"'
    return ["sh", "-c", script, "sh", *map(str, [runtime, *hoarder, *daemon])], flag


@pytest.mark.parametrize("habit, processes", [
    ("duplicates", 120),  # two million descriptors: a count takes ten seconds
    ("entries", 4),       # eighty million lines in /proc/PID/fdinfo
    ("lock", 1),          # one that is never ended, in /proc/PID/fdinfo
])
def test_the_launcher_answers_beside_a_process_tree_that_is_expensive_to_read(moult, port, directory, habit, processes):
    """Status, upgrade, a drain to its deadline, and the end.  These commands would fail if the
    launcher did not answer in time."""
    command, flag = beside(directory, habit, processes, waiter("g1", port))
    instance = moult().run("--drain-timeout=3s", "--kill-after=100ms", command=command)
    wait_until(flag.exists, 20, instance.log)
    old = instance.generation(1)
    assert old["state"] == "current" and "count_age_ms" in old
    instance.upgrade(command=waiter("g2", port))
    assert ask(port).split()[:2] == ["GEN", "g2"]
    assert instance.generation(2)["state"] == "current"
    instance.command("list")
    instance.wait_gone(1, 40)
    assert instance.generation(2)["count_age_ms"] == 0
    instance.stop()


def test_a_process_tree_deeper_than_the_search_is_ended(moult, port, directory):
    """Each process is the child of the one before, and the chain is longer than the launcher's
    search for parents."""
    command, flag = beside(directory, "chain", 200, waiter("g1", port))
    instance = moult().run("--kill-after=100ms", command=command)
    wait_until(flag.exists, 20, instance.log)
    assert instance.generation(1)["processes"] == 201
    instance.stop()
