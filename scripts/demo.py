#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An unmodified nginx under load: restarted, reloaded, replaced by USR2, then upgraded by moult.

Started by scripts/demo. Shows what the clients see and ends everything it started. Exit status 1:
moult lost something, or the plain restart lost nothing (then the client is blind).
"""
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MOULT = f"{TOP}/build/moult"
LOAD = f"{TOP}/build/tests/load"
RATE = 600  # new connections a second
PERSISTENT = 50  # connections that stay, with a request every 100 ms

CONFIGURATION = """
daemon {daemon};
worker_processes 2;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000;
    default_type text/plain;
    server {{ listen 127.0.0.1:{port}; return 200 "GEN {version} \\n"; }}
}}
"""
LOSSES = ("refused", "cut", "reset", "timed_out", "wrong", "error", "overflow")


def say(text=""):
    print(text, flush=True)


class Nginx:
    """Versions of a configuration, in the current directory."""

    def __init__(self, port):
        self.port = port

    def command(self, version, broken=False, daemon="off"):
        """The command line; its configuration is written.  A daemon reads the same file each time."""
        name = f"{version}.conf" if daemon == "off" else "nginx.conf"
        with open(name, "w") as file:
            file.write(CONFIGURATION.format(version=version, port=self.port, daemon=daemon))
            if broken:
                file.write("listne 80;\n")
        # For USR2 nginx executes what it was called, and does not look along PATH.
        program = "nginx" if daemon == "off" else shutil.which("nginx")
        return [program, "-p", ".", "-e", "error.log", "-c", name]

    def wait(self):
        """Until it answers, at most 10 seconds."""
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)


class Load:
    """The load client, and a line a second of what it saw."""

    def __init__(self, port):
        self.process = subprocess.Popen(
            [LOAD, f"--address=127.0.0.1:{port}", "--mode=http", "--expect-prefix=HTTP/1.1 200",
             r"--send=GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", f"--rate={RATE}",
             f"--persistent={PERSISTENT}", "--control", "--progress"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.result = None
        self.answered = {}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.result = json.loads(line)
            if self.result["kind"] == "progress":
                self.show()

    def show(self):
        answered = {}
        for account in (self.result, self.result["persistent"]):
            for tag in account["tags"]:
                answered[tag["tag"]] = answered.get(tag["tag"], 0) + tag["answered"]
        by = [f"{tag} {count - self.answered.get(tag, 0)}" for tag, count in answered.items()
              if count > self.answered.get(tag, 0)]
        self.answered = answered
        say(f"  {self.result['elapsed_ms'] / 1000:3.0f} s  answered by {', '.join(by) or 'nobody':18}"
            f"  so far: {totals(self.result)}")

    def order(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def finish(self):
        self.order("stop")
        self.process.wait()
        self.reader.join()
        if self.process.returncode != 0 or self.result["kind"] != "result":
            raise RuntimeError("the load client failed")
        return self.result


def lost(result):
    return {loss: result[loss] + result["persistent"][loss] for loss in LOSSES}


def totals(result):
    count = lost(result)
    others = sum(count[loss] for loss in LOSSES[2:])
    text = f"{count['refused']} refused, {count['cut']} cut"
    if others:
        text += f", {others} otherwise lost"
    return text


def answered(result):
    return f"{result['answered'] + result['persistent']['answered']:,} answered".replace(",", " ")


def alone(nginx, title, change):
    """nginx without moult; `change` replaces version 1 by version 2."""
    say(f"\n== nginx alone: {title}\n")
    subprocess.run(nginx.command("v1", daemon="on"), check=True)
    nginx.wait()
    load = Load(nginx.port)
    time.sleep(3.5)
    change(master(), nginx.command("v2", daemon="on"))
    time.sleep(3)
    result = load.finish()
    quit_and_wait(master())
    return result


def master():
    with open("nginx.pid") as file:
        return int(file.read())


def quit_and_wait(pid):
    os.kill(pid, signal.SIGQUIT)
    os.waitpid(pid, 0)  # a child of this process, which is a subreaper


def plain_restart(pid, command):
    say("  $ kill -QUIT NGINX; wait; nginx")
    quit_and_wait(pid)
    subprocess.run(command, check=True)


def reload(_, command):
    say("  $ nginx -s reload")
    subprocess.run([*command, "-s", "reload"], check=True)


def usr2(pid, _):
    say("  $ kill -USR2 NGINX; sleep 1; kill -QUIT NGINX")
    os.kill(pid, signal.SIGUSR2)
    time.sleep(1)
    quit_and_wait(pid)


def moult(*words):
    """Runs the command for the operator, and shows it; the exit status."""
    say(f"  $ moult {shlex.join(words)}")
    done = subprocess.run([MOULT, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    for line in done.stdout.splitlines():
        say(f"      {line}")
    return done.returncode


def expect(wanted, status):
    if status != wanted:
        raise RuntimeError(f"moult exited with {status}, not {wanted}")


def renew(load):
    say("  (the clients close the connections that stayed, and open new ones)")
    load.order("renew")


def under_moult(nginx):
    say("\n== nginx under moult: three upgrades, one of them to a version that fails\n")
    words = ["run", "--name=web", "--quiet", "--", *nginx.command("v1")]
    say(f"  $ moult {shlex.join(words)} &")
    with open("launcher.log", "w") as log:  # the commands below say the same
        launcher = subprocess.Popen([MOULT, *words], stderr=log)
    nginx.wait()
    load = Load(nginx.port)
    time.sleep(3.5)
    expect(0, moult("upgrade", "web", "--", *nginx.command("v2")))
    time.sleep(2)
    renew(load)
    time.sleep(1.5)
    expect(1, moult("upgrade", "web", "--", *nginx.command("v3", broken=True)))
    time.sleep(3)
    expect(0, moult("upgrade", "web", "--", *nginx.command("v4")))
    time.sleep(2)
    renew(load)
    time.sleep(2.5)
    expect(0, moult("status", "web"))
    result = load.finish()
    expect(0, moult("stop", "web"))
    launcher.wait()
    return result


def descendants():
    """Every process below this one: we are a subreaper, so that none escapes."""
    found, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    todo += map(int, file.read().split())
        except OSError:
            continue
        found.append(pid)
    return found[1:]


def end_all():
    """What is still there when all went well is nothing; otherwise asked first, then killed."""
    for number, patience in (signal.SIGTERM, 5), (signal.SIGKILL, 5):
        end = time.monotonic() + patience
        for pid in descendants():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        while descendants() and time.monotonic() < end:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.05)


def main():
    os.environ["PATH"] = "/usr/sbin:/sbin:" + os.environ["PATH"]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGTERM:
        signal.signal(number, lambda *_: sys.exit(1))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    directory = tempfile.mkdtemp(prefix="moult-demo-")
    os.chmod(directory, 0o755)
    os.chdir(directory)
    os.environ["MOULT_RUNTIME_DIR"] = f"{directory}/run"
    say(f"load: {RATE} new connections a second, and {PERSISTENT} that stay")
    try:
        nginx = Nginx(port)
        plain = alone(nginx, "one restart (a graceful stop, then a start)", plain_restart)
        own = alone(nginx, "its own reload", reload)
        dance = alone(nginx, "its own replacement of the binary", usr2)
        ours = under_moult(nginx)
    except (OSError, RuntimeError) as error:
        if os.path.exists("launcher.log"):
            with open("launcher.log") as log:
                sys.stderr.write(log.read())
        sys.exit(f"demo: {error}")
    finally:
        end_all()
        shutil.rmtree(directory, ignore_errors=True)

    say(f"\n  {'':24}" + "".join(f"{loss.replace('_', ' '):>11}" for loss in LOSSES[:5])
        + f"{'answered':>11}")
    for name, result in (("one plain restart", plain), ("one nginx -s reload", own),
                         ("one USR2 and QUIT", dance), ("three moult upgrades", ours)):
        count = lost(result)
        say(f"  {name:24}" + "".join(f"{count[loss]:11}" for loss in LOSSES[:5])
            + f"{result['answered'] + result['persistent']['answered']:11}")
    say(f"\nplain restart: {totals(plain)} · moult: {totals(ours)}, {answered(ours)}")
    if any(lost(ours).values()):
        sys.exit("demo: moult lost connections")
    if not any(lost(plain).values()):
        sys.exit("demo: the plain restart lost nothing: the client is blind")


main()
