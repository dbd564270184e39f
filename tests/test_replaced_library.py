# SPDX-License-Identifier: MIT
"""The files of a running launcher are replaced, as a package upgrade does it."""

import os
import re
import shutil
import signal

import pytest

from harness import build, processes
from harness.load import assert_nothing_lost
from harness.network import ask
from harness.waiter import waiter


@pytest.fixture
def installed(moult, directory):
    """An instance whose launcher and library are in a directory of their own."""
    place = directory / "installed"
    place.mkdir()
    for file in (build.MOULT, build.LIBRARY):
        shutil.copy(file, place)
    instance = moult()
    instance.moult = place / "moult"
    return instance


def replace(file, contract=None):
    """A new file takes the place, by rename."""
    data = file.read_bytes()
    if contract is not None:
        data, count = re.subn(rb"moult-contract=\d", b"moult-contract=" + contract, data)
        assert count == 1
    new = file.with_suffix(".dpkg-new")
    new.write_bytes(data)
    shutil.copymode(file, new)
    os.rename(new, file)


def test_an_upgrade_loads_the_replaced_library(installed, load, port):
    """Both files are new and understand the old launcher: the upgrade uses the new library."""
    installed.run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers()
    for file in ("moult", "libmoult.so"):
        replace(installed.moult.with_name(file))
    installed.upgrade(command=waiter("g2", port))
    client.wait_answers(tag="g2")
    assert_nothing_lost(client.stop())
    installed.stop()


@pytest.mark.parametrize("contract, said", [(b"9", 9), (b"x", 0)])
def test_an_upgrade_is_refused_if_the_library_does_not_understand_the_launcher(
        installed, load, port, contract, said):
    """A program with SO_REUSEPORT would bind beside the launcher and take clients.  So the program is
    not started at all."""
    command = waiter("g1", port, "--reuseport=1")
    installed.run(command=command)
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers()
    before = installed.status()["generations"]
    replace(installed.moult.with_name("libmoult.so"), contract)
    refused = installed.upgrade(expect=1)
    assert f"contract {said} of the library" in refused.stderr
    assert "generation 2" not in installed.log()
    client.wait_answers(tag="g1")
    assert_nothing_lost(client.stop())
    assert [g["id"] for g in before] == [g["id"] for g in installed.status()["generations"]]
    installed.stop()


def test_a_launcher_that_cannot_start_the_program_again_ends(installed, port):
    """Its service manager then starts a new launcher, which understands the new library."""
    installed.run("--restart=always", command=waiter("g1", port))
    replace(installed.moult.with_name("libmoult.so"), b"9")
    processes.kill([installed.tagged("g1")[0].pid], signal.SIGKILL)
    assert installed.wait_ended() == 1
    assert "(contract 9) and this launcher" in installed.log()


def test_a_first_start_with_another_library_fails(installed, port):
    replace(installed.moult.with_name("libmoult.so"), b"9")
    installed.run(command=waiter("g1", port), wait=False)
    assert installed.wait_ended() == 1
    assert "(contract 9) and this launcher" in installed.log()
    with pytest.raises(ConnectionRefusedError):
        ask(port)
