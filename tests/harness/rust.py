# SPDX-License-Identifier: MIT
"""Builds Rust programs with Debian's compiler and Debian's crates, without a network."""

import fcntl
import subprocess

from harness import build

CRATES = "/usr/share/cargo/registry"  # where Debian's librust-*-dev packages are
TARGET = build.BUILD / "tests" / "rust"


def rust_program(name):
    """Builds tests/daemons/NAME and returns the path of NAME-server.

    The first build takes some ten seconds.  cargo keeps what it has compiled, so that later calls
    cost nothing.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    replace = ["--config", "source.crates-io.replace-with='debian'",
               "--config", f"source.debian.directory='{CRATES}'"]
    with open(TARGET / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package = TARGET / name
        package.mkdir(exist_ok=True)
        for source in (build.DAEMONS / name).iterdir():  # cargo writes its lock file beside them
            copy = package / source.name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.write_bytes(source.read_bytes())
        result = subprocess.run(
            ["/usr/bin/cargo", "build", "--offline", "--quiet", *replace,
             f"--target-dir={TARGET}", f"--manifest-path={package}/Cargo.toml"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(TARGET), "CARGO_HOME": str(TARGET / "home"),
                 "CARGO_TERM_COLOR": "never"},
            cwd=package, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    return str(TARGET / "debug" / f"{name}-server")
