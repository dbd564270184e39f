# SPDX-License-Identifier: MIT
"""Web servers."""

import functools

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon


def large(setting):
    """Something to download, in the directory of the setting."""
    (setting.directory / "large").write_bytes(bytes(range(256)) * 32768)


def nginx(setting, tag, template="nginx.conf", foreground=True):
    command = ["nginx", "-c", setting.fill_in(template, tag)]
    return [*command, "-g", "daemon off;"] if foreground else command


def nginx_bad(daemon, setting):
    """Its configuration has a mistake."""
    command = daemon.command(setting, "bad")
    with open(command[2], "a") as file:
        file.write("no_such_directive;\n")
    return command


NGINX = Daemon(
    "nginx", ("nginx",), "master, 2 workers", nginx, large, half=HTTP_HALF, answer=HTTP_ANSWER,
    rate=500, download="/large", failing=nginx_bad,
    pid_file=lambda setting: str(setting.directory / "nginx.pid"),
    log=lambda setting: str(setting.directory / "access.log"), fast=True)

DAEMONS = [
    NGINX,
    NGINX.but("nginx, daemonised", model="the same, in the background",
              command=functools.partial(nginx, foreground=False)),
    NGINX.but("nginx, `reuseport`", model="a socket for each worker",
              command=functools.partial(nginx, template="nginx-reuseport.conf")),
    NGINX.but("nginx, UNIX socket", command=functools.partial(nginx, template="nginx-unix.conf"),
              address=lambda setting: f"unix:{setting.socket}", download="",
              sockets=lambda setting: (setting.socket,)),
]
