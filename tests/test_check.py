# SPDX-License-Identifier: MIT
"""`moult check`: what it says of a program that has never run."""

import json
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from harness import build
from harness.build import program
from harness.check import check, compile_program, ids, refusals, run_check

NOBODY = 65534


# ---- the program ----

def test_a_real_daemon_is_fine():
    answer = check("nginx", "-g", "daemon off;")
    assert answer["result"] == "yes" and answer["program"] == "nginx"
    assert answer["path"] == shutil.which("nginx")
    assert answer["chain"] == [{"path": answer["path"], "kind": "program"}]
    assert ids(answer) == ["loads", "libc"]
    text = run_check("nginx")
    assert text.returncode == 0 and text.stderr == ""
    assert text.stdout.splitlines()[-1] == "nginx: can be upgraded"
    assert "glibc" in text.stdout


def test_static_programs(directory):
    """With and without a fixed address: neither has a loader that could preload anything."""
    for path in (program("waiter-static"),
                 compile_program(directory, "pie", "int main(void) { return 0; }\n",
                                 "-static-pie")):
        answer = check(path)
        assert refusals(answer) == ["static"], answer
        assert "statically linked" in answer["findings"][0]["text"]
        assert answer["findings"][0]["advice"]
    text = run_check(path)
    assert text.returncode == 1
    assert text.stdout.splitlines()[-1].startswith("pie: cannot be upgraded: ")


GO = """
#define NOTE __attribute__((section(".note.x"), used, aligned(4))) static const \\
        struct { int name, size, type; char owner[4], id[4]; }
#define INFORMATION __attribute__((section(".go.buildinfo"), used)) static const char
%s;
int main(void) { return 0; }
"""


@pytest.mark.parametrize("trace", ['NOTE note = {4, 4, 4, "Go", "abc"}',
                                   'INFORMATION information[16] = "Go"'], ids=["note", "section"])
def test_go_programs_are_refused_even_if_dynamic(directory, trace):
    """A Go program is recognised by what its linker leaves in it, stripped or not."""
    path = compile_program(directory, "gone", GO % trace)
    assert refusals(check(path)) == ["go"]
    subprocess.run(["strip", path], check=True)
    assert refusals(check(path)) == ["go"]


def test_musl_is_as_good_as_glibc(directory):
    answer = check(compile_program(directory, "small", compiler="musl-gcc"))
    assert answer["result"] == "yes"
    assert [f["text"] for f in answer["findings"] if f["id"] == "libc" and "musl" in f["text"]]


def test_a_program_for_another_processor_is_refused(directory):
    """For another machine and for another word size.  The first bytes of the file are enough."""
    whole = pathlib.Path(program("waiter")).read_bytes()
    for name, offset, value in (("machine", 18, struct.pack("<H", 0xf3)), ("class", 4, b"\1")):
        path = directory / name
        path.write_bytes(whole[:offset] + value + whole[offset + len(value):])
        path.chmod(0o755)
        assert refusals(check(path)) == ["foreign"]


def others_moult(directory):
    """moult and its library, where every user can read them."""
    for path in (build.MOULT, build.LIBRARY):
        shutil.copy(path, directory)
        (directory / path.name).chmod(0o755)
    return {"moult": directory / "moult", "user": NOBODY, "group": NOBODY, "extra_groups": []}


def test_set_uid_and_file_capabilities_are_refused_if_they_change_something(directory):
    """They are no obstacle for a user whose privileges they do not change."""
    other = others_moult(directory)
    set_uid, capable = directory / "set-uid", directory / "capable"
    shutil.copy(program("waiter"), set_uid)
    shutil.copy(program("waiter"), capable)
    os.chown(set_uid, NOBODY, NOBODY)
    set_uid.chmod(0o4755)
    capable.chmod(0o755)
    subprocess.run(["setcap", "cap_net_bind_service=ep", capable], check=True)
    assert refusals(check(set_uid)) == ["privileged"]
    assert check(set_uid, **other)["result"] == "yes"
    assert refusals(check(capable, **other)) == ["privileged"]
    assert check(capable)["result"] == "yes"
    assert refusals(check("su", "-c", "nginx", "root", **other)) == ["privileged"]
    assert check("su", "-c", "nginx", "root")["result"] == "yes"


def test_an_unreadable_program_is_a_note(directory):
    path = directory / "secret"
    shutil.copy(program("waiter"), path)
    path.chmod(0o711)
    answer = check(path, **others_moult(directory))
    assert answer["result"] == "yes" and "unreadable" in ids(answer, "note")


# ---- what the program does ----

def test_a_program_that_makes_its_own_system_calls_is_refused():
    """The calls are in its code, and the C library's functions are not among its imports."""
    answer = check(program("raw"))
    assert refusals(answer) == ["raw-calls"]
    assert "raw-calls" not in ids(check(program("waiter")))


def test_own_system_calls_beside_those_of_the_library_are_a_warning(directory):
    """The program may never make them."""
    source = pathlib.Path(program("raw")).name
    text = (build.SOURCES / f"{source}.c").read_text()
    path = compile_program(directory, "both", text + "\nvoid *used = (void *)accept;\n")
    answer = check(path)
    assert answer["result"] == "yes" and "raw-calls" in ids(answer, "warning")


def test_io_uring_is_a_warning():
    """Most programs use it for files. Whether it also accepts cannot be seen from outside."""
    answer = check(program("uring"))
    assert answer["result"] == "yes" and ids(answer, "warning") == ["io-uring"]
    assert answer["findings"][-1]["advice"]
    assert "io-uring" not in ids(check(program("waiter")))


REFUSES = """
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
int main(void)
{
        FILE *file = fopen("/run/refuses.pid", "w");
        if (!file || flock(fileno(file), LOCK_EX | LOCK_NB))
                fputs("refuses is already running\\n", stderr);
        if (flock(open_data("store.lock"), LOCK_EX))
                return 1;
        return listen(bind(socket(1, 1, 0), 0, 0), 1);
}
"""


def test_a_pid_file_that_may_prevent_a_second_start_is_a_note(directory):
    """The note names the file; a path on the command line is preferred to one in the program."""
    source = REFUSES.replace("int main", "int open_data(const char *name) "
                             "{ return creat(name, 0600); }\nint main", 1)
    path = compile_program(directory, "refuses", "#include <fcntl.h>\n" + source)
    answer = check(path)
    assert answer["result"] == "yes" and set(ids(answer, "note")) == {"pid-file", "data-lock"}
    advice = {f["id"]: f["advice"] for f in answer["findings"]}
    assert "--aside=/run/refuses.pid" in advice["pid-file"]
    assert "--no-overlap" in advice["data-lock"]
    assert "already running" in run_check(path).stdout
    named = check(path, "--pidfile=/tmp/other.pid")
    assert "--aside=/tmp/other.pid" in json.dumps(named)


# ---- the command ----

@pytest.mark.parametrize("words", [[], ["--json"], ["--"], ["--wait", "nginx"], ["-x", "nginx"],
                                   ["--json=1", "nginx"], [""]], ids=str)
def test_a_wrong_command_line_of_check(words):
    result = run_check(*words)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("moult: ")


def test_options_after_the_program_belong_to_the_program():
    assert check("nginx", "--json", "--help")["result"] == "yes"
    assert "can be upgraded" in run_check("nginx", "--json").stdout


def test_the_json_is_a_contract():
    answer = check("env", "nginx")
    assert list(answer) == ["program", "path", "result", "chain", "findings"]
    assert [list(step) for step in answer["chain"]] == [["path", "kind"]] * 2
    for finding in answer["findings"]:
        assert list(finding) == ["id", "severity", "text", "advice"]
        assert finding["severity"] in ("ok", "note", "warning", "refused")


def test_an_answer_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        result = subprocess.run([build.MOULT, "check", "nginx"], stdout=full,
                                stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and "cannot write" in result.stderr


def test_a_name_does_not_control_the_terminal(directory):
    path = directory / "a\033[2Jb"
    shutil.copy(program("waiter"), path)
    result = run_check(path)
    assert result.returncode == 0 and "\033" not in result.stdout


def test_a_c1_control_in_a_name_does_not_control_the_terminal(directory):
    """U+009B begins a control sequence, as ESC [ does."""
    path = directory / "a\u009b2Jb\u00e9"
    shutil.copy(program("waiter"), path)
    result = run_check(path)
    assert result.returncode == 0 and "\u009b" not in result.stdout
    assert "a?2Jb\u00e9" in result.stdout
