# SPDX-License-Identifier: MIT
"""Fixtures for the tests with a compromised worker (harness/hostile.py).

The worker owns a directory; a file of root must not change.
"""

import os
import stat

import pytest

from harness import build
from harness.build import program

NOBODY = 65534
HOSTILE = build.ROOT / "tests" / "harness" / "hostile.py"


@pytest.fixture
def place(directory):
    """The directory that the worker owns."""
    path = directory / "place"
    path.mkdir(mode=0o755)
    os.chown(path, NOBODY, NOBODY)
    return path


@pytest.fixture
def victim(directory):
    """A file of root that only root may read."""
    path = directory / "victim"
    path.write_text("precious\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def hostile(place, port):
    """hostile(TAG, ATTACK, ...): a command."""
    def command(tag, *attack, fail=False):
        return ["/usr/bin/python3", str(HOSTILE), "--tag", tag, "--port", str(port),
                "--directory", str(place), "--bare", program("bare-static"),
                *(["--fail"] if fail else []), *map(str, attack)]
    return command


def is_untouched(victim):
    status = victim.stat()
    return (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), victim.read_text()) == (
        0, 0, 0o600, "precious\n")


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def nobody(path, target=None):
    """Makes a file, or a link to `target`, that belongs to nobody."""
    path.symlink_to(target) if target else path.touch()
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return path
