# SPDX-License-Identifier: MIT
"""Servers of Python programs."""

import functools
import pathlib

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon

KEEP = "--keep-alive=75"  # they take half a request for an idle connection
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules


def tcp(setting):
    return f"127.0.0.1:{setting.port}"


def unix(setting):
    return f"unix:{setting.socket}"


UNIX = {"address": unix, "download": "", "sockets": lambda setting: (setting.socket,)}


def bad_port(daemon, setting):
    """One that ends when it finds that its port is no port."""
    command = [str(word) for word in daemon.command(setting, "bad")]
    return [word.replace(str(setting.port), "no-port") for word in command]


def spoiled(template):
    """The program, or what it loads, is none."""
    def failing(daemon, setting):
        command = daemon.command(setting, "bad")
        path = setting.directory / f"bad-{template}"
        path.write_text(") there is nothing that this closes\n" + path.read_text())
        return command
    return failing


def inside(setting, *command):
    """Run in the directory, from which it imports what it serves."""
    return ["env", "-C", str(setting.directory), *command]


def application(setting, tag, template):
    """MODULE:NAME of what is served."""
    setting.fill_in(template, tag)
    return f"{tag}-{template.removesuffix('.py')}:application"


def gunicorn(kind, *options, at=tcp, template="wsgi.py"):
    def command(setting, tag):
        return ["gunicorn", "--bind", at(setting), "--worker-class", kind, KEEP, *options,
                "--chdir", str(setting.directory), application(setting, tag, template)]
    return command


def pid_path(setting):
    return str(setting.directory / "pid")


def log_path(setting):
    return str(setting.directory / "access.log")


def gunicorn_sync(setting, tag):
    return gunicorn("sync", "--workers=6", f"--pid={pid_path(setting)}",
                    f"--access-logfile={log_path(setting)}")(setting, tag)


def uvicorn(*options):
    def command(setting, tag):
        where = [word.replace("SOCKET", str(setting.socket)) for word in options]
        return ["uvicorn", "--port", str(setting.port), "--log-level", "warning",
                "--timeout-keep-alive", "75", "--lifespan", "off", *where,
                "--app-dir", str(setting.directory),
                application(setting, tag, "asgi.py")]
    return command


def hypercorn(setting, tag):
    return inside(setting, "hypercorn", "--bind", tcp(setting), "--keep-alive", "75",
                  "--workers", "2",
                  application(setting, tag, "asgi.py"))


def daphne(setting, tag):
    return inside(setting, "daphne", "-b", "127.0.0.1", "-p", str(setting.port),
                  "--verbosity", "0", application(setting, tag, "asgi.py"))


def waitress(setting, tag):
    """What it imports has to be a name of Python's."""
    module = pathlib.Path(setting.fill_in("wsgi.py", tag))
    module.rename(module.with_name(f"{tag}.py"))
    return ["env", f"PYTHONPATH={setting.directory}", "waitress-serve", f"--listen={tcp(setting)}",
            "--threads=8", f"{tag}:application"]


def twisted(setting, tag):
    setting.fill_in("wsgi.py", tag)
    return inside(setting, f"PYTHONPATH={setting.directory}", "twistd3", "--nodaemon",
                  "--pidfile", "", "web", "--listen", f"tcp:{setting.port}:interface=127.0.0.1",
                  "--wsgi", f"{tag}-wsgi.application")


def flask(setting, tag):
    return inside(setting, "flask", "--app", setting.fill_in("flask-server.py", tag), "run",
                  "--host", "127.0.0.1", "--port", str(setting.port))


def django(setting, tag):
    return [PYTHON, setting.fill_in("django-server.py", tag), tcp(setting)]


def python(template, *words):
    def command(setting, tag):
        return [PYTHON, setting.fill_in(template, tag), str(setting.port), *words]
    return command


def pypy(template):
    def command(setting, tag):
        return ["pypy3", setting.fill_in(template, tag), str(setting.port)]
    return command


Http = functools.partial(Daemon, rate=80, half=HTTP_HALF, answer=HTTP_ANSWER,
                         download="/download")

GUNICORN = Http("gunicorn", ("gunicorn",), "master, 6 workers", gunicorn_sync, persistent=0,
                run=lambda setting: (f"--aside={pid_path(setting)}",),
                pid_file=pid_path, log=log_path,
                notes="`--aside=PID-FILE`")
GTHREAD = Http("gunicorn, gthread", ("gunicorn",), "master, 2 workers of threads",
               gunicorn("gthread", "--workers=2", "--threads=16"))
UVICORN = Http("uvicorn", ("uvicorn",), "one process, asyncio", uvicorn())
TORNADO = Http("tornado", ("python3-tornado",), "one process, asyncio",
               python("tornado-server.py", "1"), failing=bad_port)

DAEMONS = [
    GUNICORN,
    GTHREAD,
    GTHREAD.but("gunicorn, gthread, SO_REUSEPORT",
                command=gunicorn("gthread", "--workers=2", "--threads=16", "--reuse-port")),
    GTHREAD.but("gunicorn, gthread, UNIX socket", **UNIX,
                command=gunicorn("gthread", "--workers=2", "--threads=16", at=unix)),
    GTHREAD.but("gunicorn, gevent", packages=("gunicorn", "python3-gevent"),
                model="master, 2 workers, libev", command=gunicorn("gevent", "--workers=2")),
    GTHREAD.but("gunicorn, eventlet", packages=("gunicorn", "python3-eventlet"),
                model="master, 2 workers, epoll", command=gunicorn("eventlet", "--workers=2")),
    GTHREAD.but("gunicorn, uvicorn", packages=("gunicorn", "python3-uvicorn"),
                model="master, 2 workers, asyncio",
                command=gunicorn("uvicorn.workers.UvicornWorker", "--workers=2",
                                 template="asgi.py")),
    UVICORN,
    UVICORN.but("uvicorn, workers", model="supervisor, 2 spawned workers",
                command=uvicorn("--workers", "2")),
    UVICORN.but("uvicorn, UNIX socket", command=uvicorn("--uds", "SOCKET"), **UNIX),
    Http("hypercorn", ("python3-hypercorn",), "supervisor, 2 spawned workers", hypercorn),
    Http("daphne", ("daphne",), "one process, twisted", daphne),
    Http("waitress", ("python3-waitress",), "a thread that selects, 8 that answer", waitress),
    Http("twisted", ("python3-twisted",), "one process, a pool of threads", twisted),
    TORNADO,
    TORNADO.but("tornado, processes", model="parent, 2 workers",
                command=python("tornado-server.py", "2")),
    Http("aiohttp", ("python3-aiohttp",), "one process, asyncio", python("aiohttp-server.py"),
         failing=bad_port),
    Http("CherryPy", ("python3-cherrypy3",), "a thread that selects, 12 that answer",
         python("cherrypy-server.py"), failing=bad_port),
    Http("Flask's server", ("python3-flask",), "a thread for each connection", flask,
         persistent=0),
    Http("Django's server", ("python3-django",), "a process that watches files, one that serves",
         django, persistent=0),
    Http("Python socketserver", ("python3",), "a process for each connection",
         python("socketserver-forking.py"), failing=bad_port),
    Http("PyPy socketserver", ("pypy3",), "a process for each connection",
         pypy("socketserver-forking.py"), failing=bad_port, rate=60),
]
