# SPDX-License-Identifier: MIT
"""Where the programs under test are, and how the tests build their own programs."""

import fcntl
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("MOULT_BUILD", "build")).resolve()
MOULT = BUILD / "moult"
LIBRARY = BUILD / "libmoult.so"
LOAD = BUILD / "tests" / "load"
PROGRAMS = BUILD / "tests" / "programs"
SANITISER = os.environ.get("MOULT_PRELOAD", "")  # the runtime of a sanitised build
CELLS = os.environ.get("MOULT_CELLS")  # where scripts/cells collects what state machines did
DAEMONS = ROOT / "tests" / "daemons"

SOURCES = ROOT / "tests" / "programs"
PRELOAD = ROOT / "tests" / "preload"  # each is a library of one file, for LD_PRELOAD
STATIC = ("waiter", "bare")  # also linked statically, as NAME-static


def program(name):
    return str(PROGRAMS / name)


def build_programs():
    """Builds what is out of date; safe to be called by several workers at once."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "tests" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        targets = [LOAD] + [PROGRAMS / source.stem for source in sorted(SOURCES.glob("*.c"))]
        names = [os.path.relpath(target, ROOT) if target.is_relative_to(ROOT) else str(target)
                 for target in targets]
        directory = os.path.relpath(BUILD, ROOT) if BUILD.is_relative_to(ROOT) else str(BUILD)
        _run(["make", "--silent", f"BUILD={directory}", *names])
        for name in STATIC:
            _build_static(name)
        for source in PRELOAD.glob("*.c"):
            _build_preload(source)


def _build_static(name):
    target = PROGRAMS / f"{name}-static"
    sources = [SOURCES / f"{name}.c", *SOURCES.glob("*.h")]
    if target.exists() and all(s.stat().st_mtime < target.stat().st_mtime for s in sources):
        return
    _run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-I.", "-O2", "-static",
          "-o", str(target), str(sources[0])])


def preload(name):
    return str(PROGRAMS / f"{name}.so")


def _build_preload(source):
    target = PROGRAMS / f"{source.stem}.so"
    if target.exists() and source.stat().st_mtime < target.stat().st_mtime:
        return
    _run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-I.", "-O2", "-fPIC", "-shared",
          "-o", str(target), str(source)])


def _run(command):
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env={k: v for k, v in os.environ.items()
                                            if k not in ("MAKEFLAGS", "MAKELEVEL")})
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
