# SPDX-License-Identifier: MIT
"""Proxies and caches of HTTP."""

import shutil

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon


def haproxy(setting, tag):
    return ["haproxy", "-db", "-f", setting.fill_in("haproxy.cfg", tag)]


def haproxy_master_worker(setting, tag):
    return ["haproxy", "-W", "-f", setting.fill_in("haproxy-threads.cfg", tag)]


def haproxy_unix(setting, tag):
    return ["haproxy", "-db", "-f", setting.fill_in("haproxy-unix.cfg", tag)]


def tinyproxy(setting, tag):
    return ["tinyproxy", "-d", "-c", setting.fill_in(
        "tinyproxy.conf", tag, PAGE=setting.fill_in("tinyproxy.html", tag))]


def privoxy(setting, tag):
    """Its own page for an address of that kind is made from a template."""
    templates = setting.directory / tag
    shutil.copytree("/etc/privoxy/templates", templates, dirs_exist_ok=True)
    (templates / "cgi-error-404").write_text(f"GEN {tag} privoxy\n")
    return ["privoxy", "--no-daemon", "--pidfile", str(setting.directory / "pid"),
            setting.fill_in("privoxy.conf", tag, TEMPLATES=templates)]


HAPROXY = Daemon("haproxy", ("haproxy",), "one process, threads", haproxy, half=HTTP_HALF,
                 answer=HTTP_ANSWER, rate=500, fast=True)

DAEMONS = [
    HAPROXY,
    HAPROXY.but("haproxy `-W`", model="master, worker with threads",
                command=haproxy_master_worker),
    HAPROXY.but("haproxy, UNIX socket", command=haproxy_unix,
                address=lambda setting: f"unix:{setting.socket}",
                sockets=lambda setting: (setting.socket,)),
    Daemon("tinyproxy", ("tinyproxy",), "a thread for each connection, poll", tinyproxy,
           load=lambda setting: {"mode": "http",
                                 "send": r"GET http://status.test/ HTTP/1.0\r\n\r\n"},
           persistent=0, rate=60, half=(b"GET http://status.test/ HT", b"TP/1.0\r\n\r\n"),
           answer=b"GEN @TAG@ tinyproxy", log=lambda setting: str(setting.directory / "log"),
           pid_file=lambda setting: str(setting.directory / "pid")),
    Daemon("privoxy", ("privoxy",), "a thread for each connection, poll", privoxy,
           load=lambda setting: {"mode": "http",
                                 "send": r"GET http://p.p/nothing HTTP/1.0\r\n\r\n"},
           persistent=0, rate=100, half=(b"GET http://p.p/not", b"hing HTTP/1.0\r\n\r\n"),
           answer=b"GEN @TAG@ privoxy", log=lambda setting: str(setting.directory / "log"),
           pid_file=lambda setting: str(setting.directory / "pid")),
]
