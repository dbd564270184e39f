# SPDX-License-Identifier: MIT
"""`moult check` finds the program behind wrappers and scripts, and an upgrade finds the same."""

import pathlib
import shutil
import subprocess

import pytest

from harness import build
from harness.build import program
from harness.check import PASSES_ON, check, compile_program, ids, kinds, refusals, script
from harness.network import ask


# ---- from the command line to the program ----

WAITER = "WAITER"


@pytest.mark.parametrize("command", [
    ["env", "-i", "-u", "X", "A=b", WAITER, "--tag"],
    ["env", "-S", "A=b nice -n 5", WAITER],
    ["nice", "-5", WAITER, "-x"],
    ["ionice", "-c", "2", "-n7", WAITER],
    ["chrt", "-b", "0", WAITER],
    ["taskset", "-c", "0,1", WAITER],
    ["nohup", "setsid", "-w", WAITER],
    ["stdbuf", "-oL", "-e", "0", "timeout", "-k", "5", "--signal=INT", "60", WAITER],
    ["prlimit", "--nofile=99", "--", WAITER],
    ["setpriv", "--reuid", "7", "--clear-groups", "--reset-env", WAITER],
    ["unshare", "-m", "--propagation", "slave", WAITER],
    ["sh", "-c", "WAITER --tag 'a;b' 2>/dev/null"],
    ["sh", "-ec", "umask 022; A=1 exec WAITER \"$@\"", "sh"],
    ["bash", "-c", "exec -- WAITER".replace("-- ", "")],
    ["runuser", "-u", "nobody", "--", WAITER, "-c", "x"],
    ["runuser", "-s", "/bin/sh", "nobody", "-c", "exec WAITER --tag x"],
    ["su", "-s", "/bin/sh", "-c", "WAITER", "nobody"],
    ["start-stop-daemon", "-S", "-q", "-p", "/run/x.pid", "-x", WAITER, "--", "-p", "80"],
    ["start-stop-daemon", "--start", "--exec", "/bin/true", "--startas=WAITER"],
    ["chroot", "--userspec=7:7", "/", WAITER],
], ids=lambda command: command[0])
def test_wrappers_are_followed(command):
    """Check reaches the same program and lists each step; the words after the program are the
    program's."""
    path = program("waiter")
    answer = check(*(word.replace(WAITER, path) for word in command))
    assert answer["path"] == path and answer["result"] == "yes", answer
    assert kinds(answer)[-1] == "program" and set(kinds(answer)[:-1]) == {"wrapper"}
    assert "doubt" not in ids(answer)
    static = check(*(word.replace(WAITER, program("waiter-static")) for word in command))
    assert refusals(static) == ["static"]


@pytest.mark.parametrize("command, path", [
    (["sh", "-c", "cd /x && ./daemon"], "sh"),
    (["sh", "-c", "if true; then exec cat; fi"], "sh"),
    (["sh", "-c", "if test -e /x; then\nexec cat\nfi"], "sh"),
    (["sh", "-c", "cat; ls"], "sh"),
    (["sh", "-c", "exec $DAEMON"], "sh"),
    (["sh", "-c", "cat <<END | nc -l 1\nEND"], "sh"),
    (["sh", "-c", "exec no-such-program-in-the-path"], "sh"),
    (["env", "--no-such-option-of-env", "cat"], None),
    (["nice", "-z", "cat"], "nice"),
    (["su", "-"], "su"),
], ids=str)
def test_a_doubt_about_the_program_is_a_note(command, path):
    """Check then judges the last program that it knows."""
    answer = check(*command)
    if path:
        assert answer["result"] == "yes" and "doubt" in ids(answer, "note"), answer
        assert pathlib.Path(answer["path"]).name == path


def test_scripts_are_followed(directory):
    """Through several first lines, and through a last line that says what the shell becomes."""
    path = program("waiter")
    answer = check(script(directory, "one", f"#!{path} -x\n"))
    assert (answer["path"], kinds(answer)) == (path, ["script", "program"])
    two = script(directory, "two", f"#!/usr/bin/env -S A=b {directory / 'one'} y\n")
    answer = check(two)
    assert (answer["path"], kinds(answer)) == (path, ["script", "wrapper", "script", "program"])
    last = script(directory, "last", f"#!/bin/sh -e\nulimit -n 99\nexec {path} \\\n  \"$@\"\n\n# x\n")
    answer = check(last, "--port", "1")
    assert (answer["path"], kinds(answer)) == (path, ["script", "wrapper", "program"])
    static = script(directory, "static", f"#!/bin/sh\nexec {program('waiter-static')} \"$@\"\n")
    assert refusals(check(static)) == refusals(check("sh", static)) == ["static"]
    for name, text in (("either", f"[ $1 ] || exec /bin/cat\nexec {path}\n"), ("fork", f"{path} &\n"),
                       ("named", "exec $DAEMON\n")):
        answer = check(script(directory, name, f"#!/bin/sh\n{text}"))
        assert answer["result"] == "yes" and "doubt" in ids(answer, "note")
        assert pathlib.Path(answer["path"]).name == "sh"
    loop = script(directory, "loop", f"#!{directory / 'loop'}\n")
    assert refusals(check(loop)) == ["not-executable"]


def test_programs_are_searched_in_the_new_root(directory):
    """Program, links, loader and library are those of the new root."""
    root = directory / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(program("waiter"), root / "bin" / "real")
    (root / "daemon").symlink_to("/bin/real")
    assert refusals(check("chroot", root, "/daemon")) == ["missing"]  # no loader
    copies = [line.split()[-2] for line in subprocess.run(
        ["ldd", program("waiter")], capture_output=True, text=True, check=True).stdout.splitlines()
        if "/" in line]
    for path in copies:
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.lstrip("/"))
    answer = check("chroot", root, "/daemon")
    assert refusals(answer) == ["hidden"]
    assert str(build.LIBRARY) in answer["findings"][0]["advice"]
    copy = root / str(build.LIBRARY).lstrip("/")
    copy.parent.mkdir(parents=True)
    shutil.copy(build.LIBRARY, copy)
    answer = check("chroot", root, "daemon")
    assert answer["result"] == "no"  # no such name in its PATH
    answer = check("chroot", root, "/daemon")
    assert answer["result"] == "yes" and answer["path"] == str(root / "bin" / "real")


def test_a_command_that_another_process_starts_is_refused():
    answer = check("systemd-run", "nginx") if shutil.which("systemd-run") else None
    assert answer is None or refusals(answer) == ["elsewhere"]


@pytest.mark.parametrize("command, finding", [
    (["no-such-program-in-the-path"], "missing"), (["/nowhere/daemon"], "missing"),
    (["env", "no-such-program-in-the-path"], "missing"), (["/etc/passwd"], "not-executable"),
    (["/"], "not-executable")], ids=str)
def test_a_command_that_cannot_be_executed_is_refused(command, finding):
    answer = check(*command)
    assert refusals(answer) == [finding] and answer["findings"][0]["advice"]


def test_applets_of_one_static_file_are_static(directory):
    """An applet that busybox runs is as static as busybox, and loses the library with the
    environment."""
    box = compile_program(directory, "busybox", PASSES_ON, "-static")
    answer = check(box, "sh", "-c", f"exec {program('waiter')}")
    assert answer["result"] == "yes" and answer["path"] == program("waiter")
    assert [step["path"] for step in answer["chain"][:2]] == [str(box)] * 2
    assert refusals(check(box, "env", "-i", program("waiter"))) == ["static"]
    assert refusals(check(box, "httpd", "-f")) == ["static"]


@pytest.mark.parametrize("wrapper", [["start-stop-daemon", "-S", "-x"], ["flock", "/tmp/lock"]],
                         ids=lambda wrapper: wrapper[0])
def test_wrappers_that_allow_one_instance_are_a_warning(wrapper):
    """The next generation would not be started, or would wait for the end of the current one."""
    answer = check(*wrapper, program("waiter"))
    assert answer["result"] == "yes" and ids(answer, "warning") == ["runs-once"]
    assert answer["findings"][1]["advice"]


# ---- an upgrade agrees ----

def test_an_upgrade_gives_the_same_reason_as_check(moult, port):
    """Both refuse a static program behind wrappers, in the same words."""
    command = ["env", "A=b", "sh", "-c",
               " ".join(["exec", program("waiter-static"), *waiter_words(port)])]
    said = check(*command)["findings"][0]["text"]
    instance = moult().run("--ready-timeout=300ms", wait=False, command=command)
    instance.wait_log("not ready after 300 ms")
    assert said in instance.log()
    assert said in instance.upgrade(expect=1).stderr
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")
    instance = moult("other").run(command=[program("waiter"), *waiter_words(port)])
    assert said in instance.upgrade(command=command, expect=1).stderr
    assert instance.status()["generations"][0]["id"] == 1
    instance.stop()


def test_a_static_wrapper_is_no_obstacle(moult, port, directory):
    """The library cannot be loaded into the wrapper, but the environment passes through to the
    program."""
    wrapper = compile_program(directory, "tini", PASSES_ON, "-static")
    command = [wrapper, program("waiter"), *waiter_words(port)]
    assert check(*command)["result"] == "yes"
    instance = moult().run(command=command)
    instance.upgrade()
    assert instance.status()["upgrades"]["completed"] == 1
    instance.stop()


# A sanitiser's runtime survives neither a cleared environment nor a library that opens files first.
@pytest.mark.parametrize("wrapper", [
    ["setsid", "-w"], ["stdbuf", "-oL"], ["timeout", "60"], ["unshare", "-m"],
    *(pytest.param(wrapper, marks=pytest.mark.exact) for wrapper in (
        ["env", "-i"], ["setpriv", "--reuid=0", "--reset-env"], ["runuser", "-u", "root", "--"]))],
    ids=" ".join)
def test_an_upgrade_succeeds_behind_each_wrapper_that_check_accepts(moult, port, wrapper):
    """This includes wrappers that clear the environment."""
    command = [*wrapper, program("waiter"), *waiter_words(port)]
    assert check(*command)["result"] == "yes"
    instance = moult().run(command=command)
    instance.upgrade()
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


def waiter_words(port):
    return ["--tag", "g1", "--wait=epoll", "--nonblocking", "--port", str(port)]
