# SPDX-License-Identifier: MIT
"""Servers in Perl, PHP, Erlang and others."""

from catalogue.python import Http, bad_port, spoiled
from catalogue.web import files


def psgi(program, *options):
    def command(setting, tag):
        return [program, "--listen", f"127.0.0.1:{setting.port}", "--env", "production", *options,
                setting.fill_in("application.psgi", tag)]
    return command


def mojolicious(*words):
    def command(setting, tag):
        return ["perl", setting.fill_in("mojolicious.pl", tag), *words,
                "--listen", f"http://127.0.0.1:{setting.port}"]
    return command


def hypnotoad(setting, tag):
    return ["hypnotoad", "--foreground", setting.fill_in("mojolicious.pl", tag)]


def php(setting, tag):
    return ["php", "-S", f"127.0.0.1:{setting.port}", "-t", files(setting, tag)]


def yaws(setting, tag):
    return ["yaws", "--daemon", "--id", tag, "--conf",
            setting.fill_in("yaws.conf", tag, ROOT=files(setting, tag))]


def script(interpreter, template):
    def command(setting, tag):
        return [interpreter, setting.fill_in(template, tag), str(setting.port)]
    return command


STARMAN = Http("Starman", ("starman",), "master, 12 workers", psgi("starman", "--workers", "12"),
               failing=bad_port)
MOJOLICIOUS = Http("Mojolicious", ("libmojolicious-perl",), "one process",
                   mojolicious("daemon", "--requests", "100000"),
                   failing=spoiled("mojolicious.pl"))

DAEMONS = [
    STARMAN,
    Http("Twiggy", ("twiggy",), "one process, AnyEvent", psgi("twiggy"), persistent=0,
         failing=spoiled("application.psgi")),
    Http("Feersum", ("feersum",), "one process, libev", psgi("feersum"), persistent=0,
         failing=spoiled("application.psgi")),
    MOJOLICIOUS,
    MOJOLICIOUS.but("Mojolicious, prefork", model="master, 2 workers",
                    command=mojolicious("prefork", "--workers", "2", "--requests", "100000")),
    MOJOLICIOUS.but("hypnotoad", model="executes itself; master, 2 workers", command=hypnotoad),
    Http("php -S", ("php-cli",), "one process, poll", php, persistent=0),
    Http("Erlang, gen_tcp", ("erlang-base",), "a lightweight process for each connection",
         script("escript", "server.escript"), failing=bad_port),
    Http("yaws", ("yaws",), "daemonises; Erlang", yaws,
         run=lambda setting: (f"--ready=exec=grep -q ':{setting.port:04X} ' /proc/net/tcp",),
         notes="`--ready=exec=COMMAND`: it serves another listener first"),
    Http("Guile's server", ("guile-3.0",), "one thread, poll", script("guile", "server.scm"),
         half=(), download="", failing=bad_port),
    Http("SWI-Prolog's server", ("swi-prolog-nox",), "a thread that accepts, 12 that answer",
         script("swipl", "server.pl"), failing=bad_port),
    Http("Lua, copas", ("lua-copas", "lua5.1"), "one process, select",
         script("lua5.1", "copas.lua"), failing=bad_port),
]
