# SPDX-License-Identifier: MIT
"""Fixtures: each test has its own network, directory and processes, and leaves nothing behind."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import tempfile

import pytest

from harness import build, network, processes
from harness.load import Load
from harness.moult import Moult
from harness.plain import Plain
from harness.systemd import ROOTS, Bed, Unit


@pytest.fixture(scope="session", autouse=True)
def built():
    processes.become_subreaper()
    # A shell ignores these signals in its background jobs, and nohup ignores the last one; the test
    # daemons would inherit that.  By libc: Python allows this in the main thread only, and an xdist
    # worker may run tests in another thread.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            ctypes.CDLL(None).signal(int(number), None)  # SIG_DFL
    build.build_programs()


@pytest.fixture(autouse=True)
def surroundings(built):
    """A network namespace.  Afterwards no process of the test may be left."""
    network.enter_namespace()
    yield
    network.release_ports()
    left = processes.end_all()
    processes.reap_orphans()
    assert not left, "left behind: " + "; ".join(
        f"{process.pid} {' '.join(process.command)}" for process in left)


@pytest.fixture
def directory(surroundings):
    """A directory with a short name: paths of UNIX sockets are short."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="moult-"))
    path.chmod(0o755)  # test daemons change their uid
    yield path
    shutil.rmtree(path)


@pytest.fixture
def port(surroundings):
    return network.new_port()


@pytest.fixture
def started(request, directory):  # which goes after what is in it
    """What the test has started.  Is ended in reverse order, and shown if the test fails."""
    things = []
    request.node.stash[STARTED] = things
    yield things
    failures = []
    for thing in reversed(things):
        try:
            thing.close()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)


@pytest.fixture
def moult(started, directory):
    """moult(NAME, user=UID): an instance that can be run."""
    def make(name="daemon", **options):
        instance = Moult(directory, name, **options)
        started.append(instance)
        return instance
    return make


@pytest.fixture
def load(started):
    """load(ADDRESS, rate=..., ...): a running load client."""
    def make(address, **options):
        client = Load(address, **options)
        started.append(client)
        return client
    return make


@pytest.fixture
def plain(started):
    """plain(COMMAND): a program without a launcher."""
    def make(command, **options):
        thing = Plain(command, **options)
        started.append(thing)
        return thing
    return make


@pytest.fixture(scope="session")
def beds(built):
    """Each systemd is booted when the first test wants it."""
    with contextlib.ExitStack() as stack:
        booted = {}

        def boot(version):
            if version not in booted:
                booted[version] = Bed(version)
                stack.callback(booted[version].close)
            return booted[version]
        yield boot


@pytest.fixture(params=ROOTS)
def bed(request, beds, surroundings):
    """A real systemd of each version.  The test is in its network."""
    if os.geteuid() != 0:
        pytest.skip("only root can boot a systemd")
    booted = beds(request.param)
    booted.enter_network()
    return booted


@pytest.fixture
def unit(started, bed):
    """unit(NAME): a service of the bed."""
    def make(name):
        started.append(Unit(bed, name))
        return started[-1]
    return make


STARTED = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what the launchers said and the clients saw, when a test fails."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for thing in item.stash.get(STARTED, []):
            if isinstance(thing, Moult):
                report.sections.append((f"log of {thing.name}", thing.log()))
            elif isinstance(thing, Unit):
                report.sections.append((f"journal of {thing.name}", thing.log()))
            elif isinstance(thing, Load) and thing.last:
                report.sections.append(("the last the clients saw", thing.last.explain()))
