# SPDX-License-Identifier: MIT
"""The test daemons and their options: every way to wait, process model and habit that is tested."""

import dataclasses

from harness.build import SANITISER, program

# Persistent connections that a case can hold: fewer if it has few workers with one connection each.
MANY, FEW, NONE = 4, 2, 0

# Connections a second if each is a process: two processors cannot fork many more.
FORKS = 30 if SANITISER else 150


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    program: str
    options: tuple
    persistent: int = MANY
    hosts: tuple = ("127.0.0.1",)
    ports: int = 1
    rate: int = 600

    def command(self, tag, ports, *more):
        words = [program(self.program), "--tag", tag, *self.options, *more]
        for port in ports[:self.ports]:
            words += ["--port", str(port)]
        return words

    def addresses(self, ports):
        return [f"{host}:{port}" for port in ports[:self.ports] for host in self.hosts]


def _waiter(name, *options, **fields):
    return Case(name, "waiter", options, **fields)


def _acceptor(name, *options, **fields):
    return Case(name, "acceptor", options, **fields)


def _habit(habit, *options, **fields):
    options = options or ("--wait=epoll", "--nonblocking")
    kind = _acceptor if options[0].startswith("--model") else _waiter
    name = habit + "".join(f"-{option.partition('=')[2] or 'nonblocking'}" for option in options)
    return kind(name, *options, f"--habit={habit}", **fields)


READY = ("poll", "ppoll", "select", "pselect", "epoll", "epoll-pwait", "epoll-oneshot",
         "epoll-exclusive", "epoll-nested")
EDGE = ("epoll-edge", "epoll-edge-exclusive")
FOUR = ("--processes=4", "--nonblocking")

WAITS = [
    # Waits until it is ready, then accepts; a blocking accept may find that somebody was faster
    *(_waiter(f"{wait}-nonblocking", f"--wait={wait}", "--nonblocking") for wait in READY + EDGE),
    *(_waiter(f"{wait}-blocking", f"--wait={wait}") for wait in READY),
    # Four processes, each waits for itself
    *(_waiter(f"{wait}-4-processes", f"--wait={wait}", *FOUR)
      for wait in ("poll", "select", "epoll", "epoll-exclusive") + EDGE),
    _waiter("epoll-accept4", "--wait=epoll", "--accept4", *FOUR),
    # One epoll, made before the fork
    _waiter("epoll-shared-nonblocking", "--wait=epoll-shared", *FOUR, persistent=FEW),
    _waiter("epoll-shared-accept4", "--wait=epoll-shared", "--accept4", *FOUR, persistent=FEW),
    # Waits in accept() itself
    _acceptor("accept-single", "--model=single", persistent=NONE),
    _acceptor("accept-threads", "--model=threads"),
    _acceptor("accept-threads-stdio", "--model=threads", "--stdio"),
    _acceptor("accept-pool", "--model=pool"),
    _acceptor("accept-pool-accept4", "--model=pool", "--accept4"),
    _acceptor("accept-prefork", "--model=prefork", persistent=FEW),
    _acceptor("accept-fork", "--model=fork", rate=FORKS),
    _acceptor("accept-fork-stdio", "--model=fork", "--stdio", rate=FORKS),
]

ADDRESSES = [
    _waiter("ipv6-only", "--wait=epoll", "--family=6", hosts=("[::1]",)),
    _waiter("dual-stack", "--wait=epoll", "--family=dual", hosts=("127.0.0.1", "[::1]")),
    _waiter("ipv4-and-ipv6", "--wait=poll", "--family=both", hosts=("127.0.0.1", "[::1]")),
    _waiter("two-listeners", "--wait=select", "--nonblocking", ports=2),
    _waiter("two-listeners-exclusive", "--wait=epoll-edge-exclusive", *FOUR, ports=2),
    _acceptor("accept-dual-stack", "--model=prefork", "--family=dual",
              hosts=("127.0.0.1", "[::1]"), persistent=FEW),
]

HABITS = [
    _habit("close-loop"),
    _habit("close-range"),
    _habit("closefrom"),
    _habit("close-proc"),
    _habit("daemon"),
    _habit("daemon", "--model=prefork", persistent=FEW),
    _habit("daemon-late"),
    _habit("double-fork"),
    _habit("double-fork", "--model=threads"),
    _habit("fork-after-bind"),
    _habit("exec-early"),
    _habit("exec-listening"),
    _habit("exec-listening", "--model=pool"),
    _habit("drop-uid-early"),
    _habit("drop-uid"),
    _habit("port-0"),
    _habit("bind-twice"),
    _habit("options-late"),
    _habit("receive-timeout", "--model=threads"),
    _habit("listen-twice"),
    _habit("move"),
    _habit("move", "--wait=select"),
    _habit("fcntl-late", "--wait=epoll-edge"),
    _habit("ioctl-late", "--wait=poll"),
    _habit("blocking-late", "--wait=select"),
    _habit("shutdown-at-exit"),
    _habit("wrong-timeouts"),
    _habit("shutdown-at-exit", "--model=threads"),
    _waiter("epoll-early", "--wait=epoll-early", "--nonblocking"),
    _waiter("epoll-early-blocking", "--wait=epoll-early"),
]

ALL = WAITS + ADDRESSES + HABITS


def ids(case):
    return case.name
