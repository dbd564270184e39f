# SPDX-License-Identifier: MIT
"""The test servers in Rust."""

import subprocess

from harness import build


def rust_program(name):
    """The path of the server of tests/daemons/NAME, built.  The first build of a machine takes
    long: scripts/test does it before the tests begin."""
    directory = build.BUILD / "tests" / "rust"
    result = subprocess.run([build.ROOT / "scripts" / "rust", directory], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    return str(directory / f"{name}-server")
