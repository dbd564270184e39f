# SPDX-License-Identifier: MIT
"""Exit statuses, and command lines that are wrong."""

import re

import pytest

from harness.load import assert_nothing_lost
from harness.waiter import waiter


@pytest.mark.parametrize("verb", ["status", "upgrade", "stop"])
def test_no_such_instance(moult, verb):
    result = moult().command(verb, "nobody")
    assert result.returncode == 3
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "nobody" in result.stderr


BAD = [
    [], ["--nonsense"], ["nonsense"], ["run"], ["run", "--"], ["run", "--nonsense", "--", "true"],
    ["run", "--name", "--", "true"], ["run", "--name=", "--", "true"],
    ["run", "--name=a/b", "--", "true"], ["run", "--name=.a", "--", "true"],
    ["run", "--name=" + "a" * 65, "--", "true"], ["run", "-n"], ["run", "--", ""],
    *(["run", f"--{option}={value}", "--", "true"]
      for option in ("ready-timeout", "drain-timeout", "kill-after")
      for value in ("", "soon", "5", "-5s", "5 s", "5x", "1e3s", "99999999999999999999s", "nan")),
    ["run", "--ready-timeout=0s", "--", "true"],
    *(["run", f"--{option}={value}", "--", "true"] for option in ("drain-signal", "stop-signal")
      for value in ("", "SIG", "TERMINATE", "0", "-1", "999", "1.5")),
    *(["run", f"--ready={value}", "--", "true"]
      for value in ("", "soon", "fd", "fd=", "fd=x", "fd=1", "fd=-1", "fd=99999", "exec", "exec=")),
    *(["run", f"--restart={value}", "--", "true"] for value in ("", "yes", "never")),
    *(["run", f"--max-draining={value}", "--", "true"] for value in ("", "0", "-1", "x", "1000")),
    *(["run", f"--log={value}", "--", "true"] for value in ("", "file")),
    ["run", "--pid-file=", "--", "true"],
    ["run", "--background=yes", "--", "true"], ["run", "--wait", "--", "true"],
    ["run", "--json", "--", "true"],
    ["upgrade", "a", "b"], ["upgrade", "a/b"], ["upgrade", "--ready-timeout=soon", "a"],
    ["upgrade", "--background", "a"], ["upgrade", "--name=a"], ["upgrade", "a", "--", ""],
    ["upgrade", "a", "--stop-signal=NOPE"],
    ["status", "a", "b"], ["status", "--now"], ["status", "--json=1"],
    ["list", "a"], ["list", "--json", "x"], ["stop", "--json"], ["stop", "a", "b"],
    ["status", "../a"], ["stop", "-x"],
]


@pytest.mark.parametrize("words", BAD, ids=lambda words: " ".join(w[:25] for w in words) or "-")
def test_a_wrong_command_line(moult, words):
    """One line on stderr, status 2, and no file is made."""
    instance = moult()
    result = instance.command(*words)
    assert result.returncode == 2, result
    assert result.stdout == ""
    if words:
        assert result.stderr.startswith("moult: ") and result.stderr.count("\n") == 1
    assert list(instance.runtime.iterdir()) == []


@pytest.mark.parametrize("words", [
    ["--ready-timeout=soon"], ["--stop-signal=NOPE"], ["--ready=what"], ["--max-draining=0"],
])
def test_a_wrong_option_of_an_upgrade_changes_nothing(moult, load, port, words):
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    result = instance.upgrade(*words, expect=2)
    assert result.stderr.startswith("moult: ") and result.stderr.count("\n") == 1
    client.wait_answers(20)
    assert_nothing_lost(client.stop())
    upgrades = instance.status()["upgrades"]
    assert (upgrades["completed"], upgrades["failed"]) == (0, 0)
    instance.stop()


def test_help_and_version(moult):
    instance = moult()
    for words in (["--help"], ["run", "--help"], ["upgrade", "--help"]):
        result = instance.command(*words)
        assert result.returncode == 0 and result.stderr == ""
        for word in ("run", "upgrade", "status", "list", "stop", "--drain-timeout", "--ready"):
            assert word in result.stdout
    result = instance.command("--version")
    assert result.returncode == 0 and re.match(r"moult \d+\.\d+", result.stdout)
