# SPDX-License-Identifier: MIT
"""What there is to know of a daemon to try upgrades on it: how it is started, asked, and looked at.

Everything that differs between its generations is made from TAG ("g1", "g2", ...); the answers name
it, so that it can be seen who answered.  Functions take the Setting (harness/daemons.py) in which
this daemon runs, most of them the tag too.
"""

import dataclasses
from collections.abc import Callable

from harness.daemons import Setting


# Half a request, and what is in the answer: for `half` and `answer` of those that speak HTTP.
HTTP_HALF = (b"GET / HTTP/1.1\r\nHost: loc", b"alhost\r\nConnection: close\r\n\r\n")
HTTP_ANSWER = b"GEN @TAG@ "


def escaped(data):
    """Bytes as the load client takes them on its command line."""
    return "".join(f"\\x{byte:02x}" for byte in data)


def unknown_option(daemon, setting):
    """A new version that fails at its start: the same program with an option that it has not."""
    return [*daemon.command(setting, "bad"), "--no-such-option-anywhere"]


def bad_configuration(daemon, setting):
    """Another: the last file that it is given has a line that means nothing."""
    command = daemon.command(setting, "bad")
    path = [word for word in command if word.startswith(str(setting.directory))][-1]
    with open(path, "a") as file:
        file.write("no-such-word-anywhere @ @\n")
    return command


@dataclasses.dataclass(frozen=True)
class Daemon:
    """One row of the table."""

    name: str  # "nginx, SO_REUSEPORT"
    packages: tuple  # of Debian; the first is the one whose version is shown
    model: str  # its processes, for people: "master and 2 workers, epoll"
    command: Callable[[Setting, str], list]
    prepare: Callable[[Setting], None] = lambda setting: None  # once: directories, keys, databases

    # How it is asked; options of the load client (harness/load.c), or (harness/questions.py) kinds.
    address: Callable[[Setting], str] = lambda setting: f"127.0.0.1:{setting.port}"
    load: Callable[[Setting], dict] = lambda setting: {"mode": "http"}
    questions: tuple = ()  # for protocols that the load client does not speak
    rate: int = 150  # new connections a second
    persistent: int = 4  # connections that stay, idle but for a request now and then
    tag: Callable[[str], str] = lambda tag: tag  # as it is seen in the answers

    # What is held across upgrades, and has to be finished by the generation that began it.
    half: tuple = ()  # a request in two parts (bytes), the second sent after the upgrade
    answer: bytes = b""  # what the answer to it has in it; "@TAG@" stands for the tag
    download: str = ""  # HTTP path of some megabytes, fetched slowly

    run: tuple | Callable = ()  # options of `moult run`, or (setting) -> such
    failing: Callable = unknown_option  # (daemon, setting) -> a command line that fails
    refused: str = ""  # a part of what moult says when it refuses to upgrade it (Go, static)
    foretold: bool = True  # and `moult check` says so before anything is started

    # Files, as paths; what is not there ("" or ()) is not looked at.
    pid_file: Callable[[Setting], str] = lambda setting: ""  # names its main process
    sockets: Callable[[Setting], tuple] = lambda setting: ()  # UNIX sockets that must connect
    log: Callable[[Setting], str] = lambda setting: ""  # grows; is neither rewound nor truncated

    notes: str = ""  # for the table: what has to be set, what cannot be expected
    place: str = ""  # of which only one package can be installed: "ftp-server"
    fast: bool = False  # one of those that are tried in each run of the tests

    def but(self, name, **changes):
        """The same daemon otherwise set up."""
        return dataclasses.replace(self, name=name, **changes)
