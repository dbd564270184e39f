# SPDX-License-Identifier: MIT
"""OpenRC, unpacked and not installed: Debian's package would replace the init scripts' manager."""

import fcntl
import os
import subprocess

import pytest

from harness import build

PACKAGES = ("openrc", "librc1", "libeinfo1", "insserv")


def tree():
    """Where it is; fetched from the archive of this machine's apt at the first time."""
    target = build.ROOT / "build" / "cache" / "openrc"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "complete").exists():
            _unpack(target)
    return target


def _unpack(target):
    target.mkdir(exist_ok=True)
    # The test is in a network namespace of its own; the test's parent is in that of the machine.
    fetched = subprocess.run(["nsenter", f"--net=/proc/{os.getppid()}/ns/net", "apt-get", "-q", "-o",
                              "APT::Sandbox::User=", "download", *PACKAGES],
                             cwd=target, capture_output=True, text=True, timeout=50)
    if fetched.returncode:
        pytest.skip(f"no OpenRC to be had: {fetched.stderr}")
    for package in target.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, target], check=True)
        os.remove(package)
    (target / "complete").touch()
