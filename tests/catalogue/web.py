# SPDX-License-Identifier: MIT
"""Web servers."""

import functools
import struct

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon, bad_configuration, escaped


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


def files(setting, tag):
    """A directory with what is served of that generation."""
    root = setting.directory / tag
    root.mkdir(exist_ok=True)
    (root / "index.html").write_text(f"GEN {tag} file\n")
    (root / "download").write_text(f"{tag} " * (1 << 20))
    return str(root)


def webfs(setting, tag):
    return ["webfsd", "-F", "-i", "127.0.0.1", "-p", str(setting.port), "-f", "index.html",
            "-r", files(setting, tag)]


def mini_httpd(setting, tag):
    return ["mini_httpd", "-D", "-h", "127.0.0.1", "-p", str(setting.port), "-u", "nobody",
            "-d", files(setting, tag)]


def civetweb(setting, tag):
    return ["civetweb", "-listening_ports", f"127.0.0.1:{setting.port}", "-num_threads", "12",
            "-enable_keep_alive", "yes", "-document_root", files(setting, tag)]


def h2o(setting, tag):
    return ["h2o", "-c", setting.fill_in("h2o.conf", tag, ROOT=files(setting, tag))]


def caddy(setting, tag):
    return ["caddy", "run", "--adapter", "caddyfile", "--config", setting.fill_in("Caddyfile", tag)]


def node_exporter(setting, tag):
    del tag
    return ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{setting.port}"]


def busybox(setting, tag):
    return ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{setting.port}", "-h", files(setting, tag)]


SMALL = functools.partial(Daemon, rate=200, half=HTTP_HALF, answer=HTTP_ANSWER,
                          download="/download")

NGINX = Daemon(
    "nginx", ("nginx",), "master, 2 workers", nginx, large, half=HTTP_HALF, answer=HTTP_ANSWER,
    rate=300, download="/large", failing=nginx_bad,
    pid_file=lambda setting: str(setting.directory / "nginx.pid"),
    log=lambda setting: str(setting.directory / "access.log"), fast=True)

def pages(setting, tag):
    """A page that names the generation, and the large one."""
    directory = setting.directory / f"{tag}-www"
    directory.mkdir(exist_ok=True)
    (directory / "index.html").write_text(f"GEN {tag} page\n")
    if not (directory / "large").exists():
        (directory / "large").hardlink_to(setting.directory / "large")


def apache(setting, tag, model):
    pages(setting, tag)
    return ["apache2", "-f", setting.fill_in("apache.conf", tag, MPM=model), "-DFOREGROUND"]


def apache_pid_file(setting):
    return str(setting.directory / "apache.pid")


def lighttpd(setting, tag):
    pages(setting, tag)
    return ["lighttpd", "-D", "-f", setting.fill_in("lighttpd.conf", tag)]


def php_fpm(setting, tag):
    return ["php-fpm8.2", "--nodaemonize", "-y", setting.fill_in("php-fpm.conf", tag)]


def fastcgi_record(kind, content=b""):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def fastcgi_question():
    """A page that the server makes itself, at /ping."""
    values = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/ping", "SCRIPT_FILENAME": "/ping"}
    parameters = b"".join(bytes([len(name), len(value)]) + name.encode() + value.encode()
                          for name, value in values.items())
    begin, parameter, text = 1, 4, 5
    return (fastcgi_record(begin, struct.pack("!HB5x", 1, 0)) +
            fastcgi_record(parameter, parameters) + fastcgi_record(parameter) +
            fastcgi_record(text))


def php_fpm_load(setting):
    del setting
    end = fastcgi_record(3, bytes(8))
    return {"send": escaped(fastcgi_question()), "until": escaped(end), "expect_prefix": r"\x01"}


APACHE = Daemon(
    "apache, event", ("apache2",), "master, processes of 25 threads",
    functools.partial(apache, model="event"), large, half=HTTP_HALF, answer=HTTP_ANSWER,
    download="/large", failing=bad_configuration,
    run=lambda setting: (f"--aside={apache_pid_file(setting)}",), pid_file=apache_pid_file,
    log=lambda setting: str(setting.directory / "apache.log"), notes="`--aside` its pid file")


DAEMONS = [
    NGINX,
    NGINX.but("nginx, daemonised", model="the same, in the background",
              command=functools.partial(nginx, foreground=False)),
    NGINX.but("nginx, `reuseport`", model="a socket for each worker",
              command=functools.partial(nginx, template="nginx-reuseport.conf")),
    NGINX.but("nginx, UNIX socket", command=functools.partial(nginx, template="nginx-unix.conf"),
              address=lambda setting: f"unix:{setting.socket}", download="",
              sockets=lambda setting: (setting.socket,)),
    SMALL("h2o", ("h2o",), "one process, 2 threads", h2o),
    SMALL("civetweb", ("civetweb",), "a thread that polls, 12 that answer", civetweb),
    SMALL("webfs", ("webfs",), "one process, select", webfs),
    SMALL("mini-httpd", ("mini-httpd",), "a process for each connection", mini_httpd, persistent=0),
    Daemon("caddy", ("caddy",), "Go", caddy, refused="is written in Go", rate=100),
    Daemon("node-exporter", ("prometheus-node-exporter",), "Go", node_exporter,
           refused="is written in Go", rate=100, tag=lambda tag: "Exporter",
           load=lambda setting: {"mode": "http", "tag_after": "<title>Node ", "tag_before": "<"}),
    Daemon("busybox httpd", ("busybox-static",), "static", busybox, refused="statically linked",
           persistent=0, rate=100),
    APACHE,
    APACHE.but("apache, prefork", model="master, processes",
               command=functools.partial(apache, model="prefork"), rate=100),
    Daemon("lighttpd", ("lighttpd",), "one process, epoll", lighttpd, large,
           half=HTTP_HALF, answer=HTTP_ANSWER, download="/large",
           pid_file=lambda setting: str(setting.directory / "lighttpd.pid"),
           log=lambda setting: str(setting.socket.parent / "lighttpd.log")),
    Daemon("php-fpm", ("php8.2-fpm",), "master, 8 processes", php_fpm,
           load=php_fpm_load, persistent=0,
           half=(fastcgi_question()[:30], fastcgi_question()[30:]), answer=HTTP_ANSWER,
           pid_file=lambda setting: str(setting.directory / "php-fpm.pid"),
           log=lambda setting: str(setting.directory / "php-fpm.log")),
]
