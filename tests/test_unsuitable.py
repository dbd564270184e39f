# SPDX-License-Identifier: MIT
"""Programs that moult cannot upgrade: each is started, and moult gives the reason."""

import os
import shutil

from harness import processes
from harness.build import program
from harness.network import ask
from harness.waiter import waiter


def test_a_static_program_is_reported(moult, port):
    """It is started and serves; an upgrade is refused with the reason."""
    command = [program("waiter-static"), *waiter("g1", port)[1:]]
    instance = moult().run("--ready-timeout=300ms", wait=False, command=command)
    instance.wait_log(r"waiter-static is statically linked")
    instance.wait_log(r"not ready after 300 ms")
    assert ask(port).startswith("GEN g1 ")
    result = instance.upgrade(expect=1)
    assert "statically linked" in result.stderr
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


def test_a_program_that_makes_its_own_system_calls_is_reported(moult, port):
    """It listens, but the library saw no bind: as with every Go program."""
    command = [program("raw"), "--tag", "g1", "--port", port]
    instance = moult().run("--ready-timeout=300ms", wait=False, command=command)
    instance.wait_log(rf"raw listens on .*{port}.*its own system calls")
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


def test_a_program_that_never_listens_is_reported(moult):
    instance = moult().run("--ready-timeout=300ms", wait=False, command=["sleep", "60"])
    instance.wait_log(r"not ready after 300 ms \(it has taken up no listening socket\)")
    instance.stop("--now")
    assert not processes.descendants()


def test_a_set_uid_program_is_reported(moult, port, directory):
    """The loader ignores the library in such a program, also at every upgrade."""
    path = directory / "waiter"
    shutil.copy(program("waiter"), path)
    os.chown(path, 65534, 65534)
    path.chmod(0o4755)
    instance = moult().run("--ready-timeout=3s", wait=False,
                           command=[path, *waiter("g1", port)[1:]])
    instance.wait_log(r"set-uid|set-user")
    instance.wait_log("generation 1: started")  # before, there is no control socket
    instance.stop("--now")
