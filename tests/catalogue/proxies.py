# SPDX-License-Identifier: MIT
"""Proxies and caches of HTTP."""

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon


def haproxy(setting, tag):
    return ["haproxy", "-db", "-f", setting.fill_in("haproxy.cfg", tag)]


def haproxy_master_worker(setting, tag):
    return ["haproxy", "-W", "-f", setting.fill_in("haproxy-threads.cfg", tag)]


def haproxy_unix(setting, tag):
    return ["haproxy", "-db", "-f", setting.fill_in("haproxy-unix.cfg", tag)]


HAPROXY = Daemon("haproxy", ("haproxy",), "one process, threads", haproxy, half=HTTP_HALF,
                 answer=HTTP_ANSWER, rate=500, fast=True)

DAEMONS = [
    HAPROXY,
    HAPROXY.but("haproxy `-W`", model="master, worker with threads",
                command=haproxy_master_worker),
    HAPROXY.but("haproxy, UNIX socket", command=haproxy_unix,
                address=lambda setting: f"unix:{setting.socket}",
                sockets=lambda setting: (setting.socket,)),
]
