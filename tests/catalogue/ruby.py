# SPDX-License-Identifier: MIT
"""Servers of Ruby programs."""

from catalogue.python import UNIX, Http, pid_path, spoiled


def puma(*options, unix=False):
    def command(setting, tag):
        where = f"unix://{setting.socket}" if unix else f"tcp://127.0.0.1:{setting.port}"
        return ["puma", "--config", "-", "--bind", where, "--environment", "production",
                "--pidfile", pid_path(setting), "--threads", "8:8", *options,
                setting.fill_in("config.ru", tag)]
    return command


def unicorn(unix=False):
    def command(setting, tag):
        where = str(setting.socket) if unix else f"127.0.0.1:{setting.port}"
        return ["unicorn", "--listen", where, "--env", "none", "--config-file",
                setting.fill_in("unicorn.rb", tag), setting.fill_in("config.ru", tag)]
    return command


def rainbows(setting, tag):
    return ["rainbows", "--listen", f"127.0.0.1:{setting.port}", "--env", "none", "--config-file",
            setting.fill_in("rainbows.rb", tag), setting.fill_in("config.ru", tag)]


def thin(setting, tag):
    return ["thin", "--address", "127.0.0.1", "--port", str(setting.port), "--rackup",
            setting.fill_in("config.ru", tag), "--quiet", "start"]


def webrick(setting, tag):
    return ["ruby", setting.fill_in("webrick.rb", tag), str(setting.port)]


PUMA = Http("puma", ("puma",), "one process, threads", puma(), pid_file=pid_path)
UNICORN = Http("unicorn", ("unicorn",), "master, 6 workers", unicorn(), persistent=0,
               run=lambda setting: (f"--aside={pid_path(setting)}",), pid_file=pid_path,
               notes="`--aside=PID-FILE`")

DAEMONS = [
    PUMA,
    PUMA.but("puma, cluster", model="master, 2 workers of threads", command=puma("--workers", "2")),
    PUMA.but("puma, UNIX socket", command=puma(unix=True), **UNIX),
    UNICORN,
    UNICORN.but("unicorn, UNIX socket", command=unicorn(unix=True), **UNIX),
    UNICORN.but("rainbows", packages=("rainbows",), model="master, 2 workers of threads",
                command=rainbows, persistent=4),
    Http("thin", ("thin",), "one process, eventmachine", thin),
    Http("WEBrick", ("ruby-webrick",), "a thread for each connection", webrick,
         failing=spoiled("webrick.rb")),
]
