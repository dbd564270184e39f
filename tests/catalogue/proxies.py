# SPDX-License-Identifier: MIT
"""Proxies and caches of HTTP."""

import functools
import shutil
import subprocess

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon, bad_configuration


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
                 answer=HTTP_ANSWER, rate=300, fast=True)

def haproxy_cli(setting, tag):
    return ["haproxy", "-W", "-S", f"{setting.socket}-master",
            "-f", setting.fill_in("haproxy-cli.cfg", tag)]


def nginx_stream(setting, tag):
    return ["nginx", "-c", setting.fill_in("nginx-stream.conf", tag), "-g", "daemon off;"]


def varnish(setting, tag):
    (setting.directory / f"{tag}-varnish").mkdir(exist_ok=True)
    return ["varnishd", "-F", "-f", setting.fill_in("varnish.vcl", tag), "-s", "malloc,8M",
            "-a", f"127.0.0.1:{setting.port}", "-n", str(setting.directory / f"{tag}-varnish")]


def stunnel_prepare(setting):
    """A key, and its certificate behind it."""
    key, certificate = setting.directory / "stunnel.pem", setting.directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9",
                    "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
                   check=True, stderr=subprocess.DEVNULL)
    key.chmod(0o600)
    with open(key, "a") as file:
        file.write(certificate.read_text())


def stunnel(setting, tag):
    (setting.directory / f"{tag}-answer").write_text(
        f"while read -r word; do echo GEN {tag} $word; done\n")
    return ["stunnel4", setting.fill_in("stunnel.conf", tag)]


def squid(setting, tag, foreground="-N"):
    errors = setting.directory / f"{tag}-errors"
    if not errors.exists():
        shutil.copytree("/usr/share/squid/errors/templates", errors)
        (errors / "ERR_ACCESS_DENIED").write_text(f"GEN {tag} squid\n")
    return ["squid", foreground, "-n", f"{tag}x{setting.port}",
            "-f", setting.fill_in("squid.conf", tag)]


def squid_prepare(setting):
    log = setting.directory / "squid.log"
    log.touch()
    shutil.chown(log, "proxy")


SQUID = Daemon(
    "squid `-N`", ("squid",), "one process, epoll", squid, squid_prepare, half=HTTP_HALF,
    answer=HTTP_ANSWER, log=lambda setting: str(setting.directory / "squid.log"),
    notes="`-n` and `pid_filename` for each generation")

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
           answer=b"GEN @TAG@ privoxy",
           pid_file=lambda setting: str(setting.directory / "pid")),
    HAPROXY.but("haproxy, master CLI", model="master, worker with threads", command=haproxy_cli,
                sockets=lambda setting: (setting.socket, f"{setting.socket}-master"), fast=False),
    Daemon("nginx, stream", ("nginx", "libnginx-mod-stream"),
           "master, 2 workers that connect to themselves", nginx_stream,
           half=HTTP_HALF, answer=HTTP_ANSWER,
           pid_file=lambda setting: str(setting.directory / "nginx.pid"),
           log=lambda setting: str(setting.directory / "access.log")),
    Daemon("varnish", ("varnish",), "manager binds, child accepts", varnish,
           half=HTTP_HALF, answer=HTTP_ANSWER, notes="`-n` for each generation"),
    Daemon("stunnel", ("stunnel4", "openssl"), "a thread per connection", stunnel, stunnel_prepare,
           failing=bad_configuration,
           load=lambda setting: {"until": r"\n", "farewell": r"end\n"}, rate=15,
           half=(b"hel", b"lo\n"), answer=HTTP_ANSWER,
           pid_file=lambda setting: str(setting.directory / "stunnel.pid"),
           log=lambda setting: str(setting.directory / "stunnel.log")),
    SQUID,
    SQUID.but("squid", model="master, a child with other privileges", notes="use `-N`",
              command=functools.partial(squid, foreground="--foreground"),
              refused="changed privileges", foretold=False),
]
