# SPDX-License-Identifier: MIT
"""The Debian package: built once, and variants of it that an upgrade can install."""

import fcntl
import re
import shutil
import subprocess

from harness import build

TARGET = build.BUILD / "deb"
# What goes into the package.  A change of the tests alone needs no new one.
SOURCES = ("shim", "helper", "scripts/debian", "scripts/deb", "scripts/hooks", "Makefile",
           "README.md", "CHANGELOG.md", "SECURITY.md", "BENCHMARKS.md", "LICENSE")
DEADLINE = 600


def build_package():
    """Returns the path of the package; safe to be called by several workers at once."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with open(build.BUILD / "deb.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _newest()
        if not found or found.stat().st_mtime < _changed():
            made = subprocess.run([build.ROOT / "scripts" / "deb", TARGET], text=True,
                                  capture_output=True, timeout=DEADLINE)
            assert made.returncode == 0, made.stdout + made.stderr
            found = _newest()
    return found


def _newest():
    return max(TARGET.glob("moult_*.deb"), default=None, key=lambda path: path.stat().st_mtime)


def _changed():
    roots = [build.ROOT / name for name in SOURCES]
    return max(path.stat().st_mtime for root in roots
               for path in ([root] if root.is_file() else root.rglob("*")))


def variant(package, directory, version, contract=None):
    """That package with another version.  With `contract` its library understands no launcher."""
    tree, target = directory / version, directory / f"moult_{version}.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub("^Version: .*", f"Version: {version}", control.read_text(),
                              flags=re.MULTILINE))
    if contract is not None:
        library = tree / "usr" / "lib" / "moult" / "libmoult.so"
        data, count = re.subn(rb"moult-contract=\d", f"moult-contract={contract}".encode(),
                              library.read_bytes())
        assert count == 1
        library.write_bytes(data)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target],
                   check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return target


def names(package):
    """{path: first word of the line of `ls -l`} of the files in the package."""
    lines = subprocess.run(["dpkg-deb", "--contents", package], check=True, text=True,
                           capture_output=True).stdout.splitlines()
    return {line.split()[5].lstrip("."): line.split()[:2] for line in lines}
