# SPDX-License-Identifier: MIT
"""Servers written in scripting languages, JavaScript and Java."""

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon
from harness import build


def uwsgi(setting, tag):
    return ["uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{setting.port}",
            "--master", "--processes", "4", "--disable-logging", "--wsgi-file",
            setting.fill_in("application.py", tag)]


def uwsgi_unix(setting, tag):
    command = uwsgi(setting, tag)
    command[command.index("--http-socket") + 1] = str(setting.socket)
    return command


def node(setting, tag):
    return ["node", str(build.DAEMONS / "server.js"), str(setting.port), tag]


def node_cluster(policy):
    """The connections, or the listening socket, are the primary's and are sent to its workers."""
    def command(setting, tag):
        return ["node", str(build.DAEMONS / "cluster.js"), str(setting.port), tag, policy]
    return command


def no_such_script(daemon, setting):
    del daemon
    return ["node", str(setting.directory / "missing.js")]


def http_server(setting, tag):
    directory = setting.directory / tag
    directory.mkdir(exist_ok=True)
    (directory / "index.html").write_text(f"GEN {tag} http.server\n")
    (directory / "large").write_bytes(bytes(range(256)) * 32768)
    return ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory",
            str(directory), str(setting.port)]


UWSGI = Daemon(
    "uwsgi", ("uwsgi-core", "uwsgi-plugin-python3"), "master, 4 workers", uwsgi, persistent=0,
    half=HTTP_HALF, answer=HTTP_ANSWER, run=("--stop-signal=QUIT",),
    notes="`--stop-signal=QUIT`: TERM makes it reload", fast=True)
NODE = Daemon(
    "node", ("nodejs",), "one process, libuv", node, half=HTTP_HALF, answer=HTTP_ANSWER,
    failing=no_such_script, fast=True)

DAEMONS = [
    NODE,
    NODE.but("node, cluster", model="primary passes connections to workers",
             command=node_cluster("rr")),
    NODE.but("node, cluster, shared", model="workers share the primary's socket",
             command=node_cluster("none")),
    Daemon("Python http.server", ("python3",), "a thread for each connection", http_server,
           half=HTTP_HALF, answer=HTTP_ANSWER, download="/large", persistent=0, rate=80,
           fast=True),
    UWSGI,
    UWSGI.but("uwsgi, UNIX socket", command=uwsgi_unix,
              address=lambda setting: f"unix:{setting.socket}",
              sockets=lambda setting: (setting.socket,)),
]
