# SPDX-License-Identifier: MIT
"""How a daemon is started: by wrappers and scripts, by itself, and with a new environment.

The library follows the listener: a process that could bind or accept is a member of the generation,
and no other process sees anything of moult.
"""

import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from catalogue.network import sshd, sshd_key
from harness import build
from harness.build import program
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches
from harness.network import ask
from harness.waiter import waiter
from harness.waiting import wait_until


# ---- wrappers ----

def words(*before):
    return lambda command, directory: [*before, *command]


def script(text, shell="sh"):
    """A shell script; $DAEMON is the command line, as words."""
    return lambda command, directory: [shell, "-c", text.replace("$DAEMON", shlex.join(command))]


def script_file(command, directory):
    path = directory / "start"
    path.write_text('#!/bin/sh\nset -e\nHOME=/ export HOME\ncd /\n: "$(id -u)"\nexec "$@"\n')
    path.chmod(0o755)
    return [str(path), *command]


def start_stop_daemon(*options):
    """Each generation has a pid file of its own, because the tool refuses to start a program that
    runs already."""
    return lambda command, directory: [
        "start-stop-daemon", "--start", "--pidfile", str(directory / command[2].replace("/", "")), *options,
        "--startas", command[0], "--", *command[1:]]


def perl(text):
    return lambda command, directory: ["perl", "-e", text, *command]


def python(text):
    return lambda command, directory: [
        "/usr/bin/python3", "-c", f"import os, subprocess, sys\ncommand = sys.argv[1:]\n{text}",
        *command]


def chroot(command, directory):
    return ["chroot", "/", *command]


WRAPPERS = {
    "sh-exec": script("exec $DAEMON"),
    "sh-wait": script("trap 'kill $!; wait; exit 0' TERM; $DAEMON & wait"),
    "sh-foreground": script("$DAEMON; exit $?"),
    "sh-leaves": script("$DAEMON &"),
    "sh-subshell": script("(exec $DAEMON)"),
    "sh-pipeline": script("$DAEMON 2>&1 | cat"),
    "sh-substitution": script("echo $($DAEMON)"),
    "bash-exec": script("exec $DAEMON", "bash"),
    "bash-wait": script("$DAEMON & wait", "bash"),
    "bash-login": lambda command, directory: [  # without what the user's own profile starts
        "env", f"HOME={directory}", "bash", "-lc", f"exec {shlex.join(command)}"],
    "bash-pipeline": script("$DAEMON 2>&1 | cat >&2; exit ${PIPESTATUS[0]}", "bash"),
    "bash-exec-clean": script("exec -c $DAEMON", "bash"),
    "script": script_file,
    "sh-unset": script("unset LD_PRELOAD MOULT; exec $DAEMON"),
    "env": words("env", "LANG=C", "A=b"),
    "env-i": words("env", "-i"),
    "env-u": words("env", "-u", "LD_PRELOAD", "-u", "MOULT"),
    "env-i-sh-env-i": words("env", "-i", "sh", "-c", 'exec env -i "$@"', "sh"),
    "setsid": words("setsid"),
    "setsid-f": words("setsid", "-f"),
    "setsid-w": words("setsid", "-f", "-w"),
    "nice": words("nice", "-n", "5"),
    "ionice": words("ionice", "-c", "3"),
    "nohup": words("nohup"),
    "stdbuf": words("stdbuf", "-oL"),
    "timeout": words("timeout", "100"),
    "timeout-foreground": words("timeout", "--foreground", "100"),
    "prlimit": words("prlimit", "--nofile=4096:4096"),
    "taskset": words("taskset", "-c", "0"),
    "chrt": words("chrt", "--other", "0"),
    "flock": lambda command, directory: ["flock", str(directory / command[2]), *command],
    "flock-no-fork": lambda command, directory: ["flock", "-F", str(directory / command[2]),
                                                 *command],
    "unshare": words("unshare", "--mount", "--uts"),
    "unshare-fork": words("unshare", "--pid", "--fork", "--mount-proc"),
    "chroot": chroot,
    "setpriv": words("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--reset-env",
                     "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
    "su": lambda command, directory: ["su", "-s", "/bin/sh", "-c", f"exec {shlex.join(command)}",
                                      "nobody"],
    "su-login": lambda command, directory: ["su", "-", "nobody", "-s", "/bin/bash", "-c",
                                            shlex.join(command)],
    "runuser": words("runuser", "-u", "nobody", "--"),
    "runuser-login": lambda command, directory: ["runuser", "-l", "nobody", "-s", "/bin/sh", "-c",
                                                 shlex.join(command)],
    "start-stop-daemon": start_stop_daemon(),
    "start-stop-daemon-background": start_stop_daemon("--background", "--make-pidfile", "--chuid",
                                                      "nobody", "--umask", "027", "--chdir", "/"),
    "perl-exec": perl("exec @ARGV"),
    "perl-system": perl("exit system(@ARGV) >> 8"),
    "perl-clean": perl("%ENV = (); exec {$ARGV[0]} @ARGV"),
    "python-exec": python("os.execvpe(command[0], command, {'PATH': '/bin'})"),
    "python-subprocess": python("sys.exit(subprocess.call(command))"),
    "python-subprocess-clean": python("sys.exit(subprocess.call(command, env={}, close_fds=True))"),
    "python-posix-spawn": python("pid = os.posix_spawn(command[0], command, {})\n"
                                 "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"),
    "python-system": python("import shlex; sys.exit(os.system(shlex.join(command)) >> 8)"),
    "python-popen": python("subprocess.Popen(command, start_new_session=True)"),
}


# A sanitiser's runtime does not outlive these, which clear the environment or open files before it
# is ready.
EXACT = {"setpriv", "su", "su-login", "runuser", "runuser-login", "bash-exec-clean", "sh-unset",
         "env-i", "env-u", "env-i-sh-env-i", "perl-clean", "python-exec", "python-subprocess-clean",
         "python-posix-spawn"}


@pytest.mark.parametrize("wrapper", [
    pytest.param(name, marks=[pytest.mark.exact] if name in EXACT else []) for name in WRAPPERS])
def test_upgrades_behind_each_wrapper_lose_nothing(moult, load, port, directory, wrapper):
    """Each generation is started by the wrapper, under load; at the end no process of wrapper or
    daemon is left."""
    def command(tag):
        return WRAPPERS[wrapper](waiter(tag, port), directory)

    directory.chmod(0o777)
    # The first process of a PID namespace, and what su left, do not end by SIGTERM
    instance = moult().run("--kill-after=300ms", command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300, persistent=2, persistent_every=20)
    client.wait_answers(20, "g1")
    switched = instance.upgrade(command=command("g2")).instant
    client.wait_answers(20, "g2")
    client.renew()
    instance.wait_gone(1)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    assert "preload" not in instance.log()
    instance.stop()


@pytest.mark.daemons
def test_nginx_behind_three_wrappers(moult, load, port, directory):
    """One of them clears the environment, and nginx daemonises."""
    setting = Setting(directory, port)

    def command(tag):
        nginx = ["nginx", "-c", setting.fill_in("nginx.conf", tag)]
        return start_stop_daemon("--background")(
            ["/bin/sh", "-c", f"exec env -i PATH=/usr/sbin {shlex.join(nginx)}"], directory)

    instance = moult().run("--kill-after=1s", command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300, mode="http")
    client.wait_answers(20, "g1")
    switched = []
    for tag in ("g2", "g3"):
        switched.append(instance.upgrade(command=command(tag)).instant)
        client.wait_answers(20, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.stop()


# ---- where the library is not ----

def make_root(path, *programs):
    """A root directory with these programs and what the loader needs for them."""
    for name in programs:
        said = subprocess.run(["ldd", name], capture_output=True, text=True, check=True).stdout
        for file in [name, *re.findall(r"(?:^|\s)(/\S+)", said)]:
            target = path / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(file, target)
    return path


@pytest.mark.exact  # the runtime is not there
def test_a_new_root_directory_that_contains_the_library(moult, load, port, directory):
    """The wrapper calls chroot.  The loader finds the library in the new root under the same path
    as outside."""
    root = make_root(directory / "root", program("waiter"), str(build.LIBRARY))

    def command(tag):
        return ["chroot", root, *waiter(tag, port)]

    instance = moult().run(command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20, "g1")
    switched = instance.upgrade(command=command("g2")).instant
    client.wait_answers(20, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    instance.stop()


@pytest.mark.exact
def test_a_new_root_directory_without_the_library(moult, port, directory):
    """The daemon runs as without moult, and the log says what is missing."""
    root = make_root(directory / "root", program("waiter"))
    instance = moult().run("--ready-timeout=300ms", wait=False,
                           command=["chroot", root, *waiter("g1", port)])
    instance.wait_log(rf"waiter, pid \d+, has a root directory in which there is no {build.LIBRARY}")
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


@pytest.mark.exact
def test_a_library_that_the_daemon_may_not_read(moult, port, directory):
    """It is installed in a directory that only root may enter, and the daemon is started as
    another user."""
    place = directory / "private"
    place.mkdir(mode=0o700)
    shutil.copy(build.MOULT, place)
    shutil.copy(build.LIBRARY, place)
    instance = moult()
    instance.moult = place / "moult"
    instance.run("--ready-timeout=300ms", wait=False, command=[
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *waiter("g1", port)])
    instance.wait_log(rf"waiter, pid \d+, may not read {place}/libmoult.so as uid 65534")
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


def test_a_daemon_in_another_network_namespace(moult, port):
    """The abstract names of the launcher's sockets are unknown there."""
    instance = moult().run("--ready-timeout=300ms", wait=False,
                           command=["unshare", "--net", *waiter("g1", port)])
    instance.wait_log(r"waiter, pid \d+, is in another network namespace than the launcher")
    instance.stop("--now")


# ---- itself again, and services with an environment of their own ----

def starter(tag, port, model):
    return [program("starter"), "--tag", tag, f"--model={model}", "--port", str(port)]


@pytest.mark.parametrize("model", [
    *(pytest.param(model, marks=pytest.mark.exact) for model in (
        "child-fork", "child-vfork", "child-spawn", "through-exec", "through-wait",
        "through-clean")),
    "early-system", "early-popen", "early-background",
])
def test_a_worker_with_a_new_environment_is_a_member(moult, load, port, model):
    """The worker is executed with the listener, or before there is a listener."""
    instance = moult().run(command=starter("g1", port, model))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20, "g1")
    switched = []
    for tag in ("g2", "g3"):
        switched.append(instance.upgrade(command=starter(tag, port, model)).instant)
        client.wait_answers(20, tag)
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.wait_alone()
    instance.stop()


@pytest.mark.exact
@pytest.mark.parametrize("model", ["self-fresh", "self-clearenv", "self-moved", "self-proc",
                                   "self-rebind"])
def test_a_daemon_that_executes_itself_while_it_serves(moult, load, port, model):
    """Again and again, also while the old generation drains and after the new one has taken
    over."""
    def served(tag):
        return instance.log().count(f"starter {tag}: serves")

    def again(tag):
        before = served(tag)
        os.kill(instance.generation(int(tag[1:]))["pid"], signal.SIGUSR1)
        wait_until(lambda: served(tag) > before, 10, instance.log)

    instance = moult().run(command=starter("g1", port, model))
    client = load(f"127.0.0.1:{port}", rate=300)
    switched = []
    for old, new in (("g1", "g2"), ("g2", "g3")):
        for _ in range(3):
            again(old)
            client.wait_answers(20, old)
        switched.append(instance.upgrade(command=starter(new, port, model)).instant)
        client.wait_answers(20, new)
    again("g3")
    client.wait_answers(20, "g3")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2", "g3"], switched)
    instance.wait_alone()
    instance.stop()


@pytest.mark.daemons
def test_sshd_reads_its_configuration_again(moult, port, directory):
    """At SIGHUP sshd closes its listeners, executes itself, and binds the same addresses."""
    def banner():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return connection.recv(200).decode()

    setting = Setting(directory, port)
    sshd_key(setting)
    command = sshd(setting, "g1")
    instance = moult().run(command=command)
    assert "GEN g1 " in banner()
    pid = instance.generation(1)["pid"]
    path = pathlib.Path(command[-1])
    path.write_text(path.read_text().replace("GEN g1 ", "GEN again "))
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "GEN again " in banner(), 10, instance.log)
    assert instance.generation(1)["pid"] == pid
    instance.upgrade(command=sshd(setting, "g2"))
    assert "GEN g2 " in banner()
    instance.wait_gone(1)
    os.kill(instance.generation(2)["pid"], signal.SIGHUP)
    assert "GEN g2 " in banner()
    instance.upgrade(command=sshd(setting, "g3"))
    assert "GEN g3 " in banner()
    instance.stop()


# ---- a shell that libc starts, while another thread changes the environment ----

LENDS = """
import ctypes, os, socket, sys, threading, time
directory, port, added = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "added"
libc = ctypes.PyDLL(None)
shell = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
libc.setenv(b"CHANGED", b"before", 1)
libc.setenv(b"REMOVED", b"before", 1)
thread = threading.Thread(target=shell.system, args=((
    f"grep -c libmoult /proc/self/maps > {directory}/seen; mkfifo {directory}/fifo;"
    f"cat {directory}/fifo").encode(),))
thread.start()
while not os.path.exists(directory + "/fifo"):
    time.sleep(0.01)
libc.setenv(b"CHANGED", b"after", 1)
libc.unsetenv(b"REMOVED")
if added:
    libc.setenv(b"ADDED", b"after", 1)
open(directory + "/fifo", "w").close()
thread.join()
names = (b"CHANGED", b"REMOVED", b"ADDED", b"LD_PRELOAD", b"MOULT")
with socket.create_server(("127.0.0.1", port)) as listener:
    while True:
        with listener.accept()[0] as connection:
            connection.sendall(repr([libc.getenv(name) for name in names]).encode() + b"\\n")
"""


@pytest.mark.exact  # a sanitiser's runtime is in LD_PRELOAD, too
@pytest.mark.parametrize("preload", [None, "libm.so.6"])
@pytest.mark.parametrize("added", [False, True], ids=["in-place", "copied"])
def test_changes_to_the_environment_during_system_are_kept(moult, port, directory, preload, added):
    """system() runs while the variables of moult are in the environment.  What setenv() changes
    meanwhile stays, and the variables of moult go."""
    command = ["/usr/bin/python3", "-c", LENDS, str(directory), str(port),
               "added" if added else "not"]
    if preload:
        command = ["/bin/sh", "-c", f'LD_PRELOAD="$LD_PRELOAD {preload}" exec "$@"', "sh",
                   *command]
    instance = moult().run(command=command)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answer = connection.recv(200).decode()
    assert int((directory / "seen").read_text()) > 0
    after = b"after" if added else None
    own = preload.encode() if preload else None
    assert answer == f"{[b'after', None, after, own, None]!r}\n"
    instance.stop()


# ---- no other program sees anything of moult ----

@pytest.mark.daemons
@pytest.mark.exact
def test_a_cgi_program_sees_nothing_of_moult(moult, plain, port, directory):
    """Started by a real web server: environment, descriptors and memory are what they are without
    moult."""
    script = directory / "cgi-bin" / "look"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                      "env | grep -v PORT | sort\ntr '\\0' '\\n' < /proc/$$/environ | sort\n"
                      "ls -l /proc/$$/fd\n"  # not to a pipe, whose ends the shell would have
                      "cut -d' ' -f2 /proc/$$/stat; grep -v -e State -e id: -e ctxt -e Vm -e Rss -e SigQ "
                      "-e SigBlk /proc/$$/status\n"  # the shell blocks signals while it starts grep
                      "grep SigBlk /proc/self/status\nsed 's/.* //' /proc/$$/maps | sort -u\n")
    script.chmod(0o755)
    directory.chmod(0o755)
    command = ["/usr/bin/python3", "-m", "http.server", "--cgi", "--bind", "127.0.0.1",
               "--directory", str(directory), str(port)]

    def answer():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/look", timeout=10) as reply:
            text = reply.read().decode()
        lines = [re.sub(r"^l.* (\d+ -> [^[ ]*).*", r"\1", line) for line in text.splitlines()]
        return [line for line in lines
                if not re.match(r"[012] ->|REMOTE|HTTP_|MOULT_RUNTIME_DIR|\[", line)]

    alone = plain(command)
    alone.wait_listening(port)
    expected = answer()
    assert "GATEWAY_INTERFACE=CGI/1.1" in expected and any("libc.so" in line for line in expected)
    alone.end(signal.SIGKILL)
    instance = moult().run(command=command)
    assert answer() == expected
    instance.upgrade()
    assert answer() == expected
    instance.stop()
