# SPDX-License-Identifier: MIT
"""`moult check`: what is said of a command before it is ever run, and that upgrades agree."""

import json
import os
import pathlib
import random
import re
import shutil
import socket
import stat
import struct
import subprocess

import pytest

from harness import build
from harness.build import program
from harness.network import ask
from harness.opens import Opens

NOBODY = 65534


def run_check(*words, moult=build.MOULT, **options):
    return subprocess.run([str(moult), "check", *map(str, words)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=30, **options)


def check(*command, **options):
    """The JSON object; its result and the exit status must say the same."""
    result = run_check("--json", "--", *command, **options)
    assert result.stderr == "", result.stderr
    answer = json.loads(result.stdout)
    assert result.returncode == {"yes": 0, "no": 1}[answer["result"]], result
    return answer


def refusals(answer):
    return [f["id"] for f in answer["findings"] if f["severity"] == "refused"]


def ids(answer, severity=None):
    return [f["id"] for f in answer["findings"] if severity in (None, f["severity"])]


def kinds(answer):
    return [step["kind"] for step in answer["chain"]]


def compile_program(directory, name, source="int main(void) { return 0; }\n", *options,
                    compiler="cc"):
    path = directory / f"{name}.c"
    path.write_text(source)
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", str(directory / name), str(path),
                    *options], check=True, capture_output=True, text=True)
    return directory / name


def script(directory, name, text):
    path = directory / name
    path.write_text(text)
    path.chmod(0o755)
    return path


# ---- what the program is ----

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
def test_go_even_if_it_is_dynamic(directory, trace):
    """By what its linker leaves in every program, stripped or not."""
    path = compile_program(directory, "gone", GO % trace)
    assert refusals(check(path)) == ["go"]
    subprocess.run(["strip", path], check=True)
    assert refusals(check(path)) == ["go"]


def test_musl_is_as_good_as_glibc(directory):
    answer = check(compile_program(directory, "small", compiler="musl-gcc"))
    assert answer["result"] == "yes"
    assert [f["text"] for f in answer["findings"] if f["id"] == "libc" and "musl" in f["text"]]


def test_another_processor(directory):
    """Another machine, and another class: told from the first bytes alone."""
    whole = pathlib.Path(program("waiter")).read_bytes()
    for name, offset, value in (("machine", 18, struct.pack("<H", 0xf3)), ("class", 4, b"\1")):
        path = directory / name
        path.write_bytes(whole[:offset] + value + whole[offset + len(value):])
        path.chmod(0o755)
        assert refusals(check(path)) == ["foreign"]


def others_moult(directory):
    """Where every user can read it."""
    for path in (build.MOULT, build.LIBRARY):
        shutil.copy(path, directory)
        (directory / path.name).chmod(0o755)
    return {"moult": directory / "moult", "user": NOBODY, "group": NOBODY, "extra_groups": []}


def test_set_uid_and_file_capabilities(directory):
    """Refused to whom they change something for, and to nobody else."""
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


def test_what_may_not_be_read(directory):
    path = directory / "secret"
    shutil.copy(program("waiter"), path)
    path.chmod(0o711)
    answer = check(path, **others_moult(directory))
    assert answer["result"] == "yes" and "unreadable" in ids(answer, "note")


# ---- what it does ----

def test_system_calls_of_its_own():
    """They are in the code, and the C library's are not among the imports."""
    answer = check(program("raw"))
    assert refusals(answer) == ["raw-calls"]
    assert "raw-calls" not in ids(check(program("waiter")))


def test_system_calls_of_its_own_beside_the_library_s(directory):
    """It may never make them: a warning."""
    source = pathlib.Path(program("raw")).name
    text = (build.SOURCES / f"{source}.c").read_text()
    path = compile_program(directory, "both", text + "\nvoid *used = (void *)accept;\n")
    answer = check(path)
    assert answer["result"] == "yes" and "raw-calls" in ids(answer, "warning")


def test_io_uring_is_a_warning():
    """Most use it for files; that it accepts through it cannot be seen from outside."""
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


def test_a_pid_file_that_may_refuse(directory):
    """A note, with the file; one on the command line is the better guess."""
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
    """To the same program, with each step told; the words behind it are its own."""
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
def test_what_cannot_be_told_is_said(command, path):
    """Then the last that is known is judged, and no more is claimed."""
    answer = check(*command)
    if path:
        assert answer["result"] == "yes" and "doubt" in ids(answer, "note"), answer
        assert pathlib.Path(answer["path"]).name == path


def test_scripts(directory):
    """Through first lines, several of them, and a last line that says what the shell becomes."""
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


def test_a_new_root_is_looked_into(directory):
    """The program, its links, its loader and the library are those of the new root."""
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


def test_what_somebody_else_starts():
    answer = check("systemd-run", "nginx") if shutil.which("systemd-run") else None
    assert answer is None or refusals(answer) == ["elsewhere"]


@pytest.mark.parametrize("command, finding", [
    (["no-such-program-in-the-path"], "missing"), (["/nowhere/daemon"], "missing"),
    (["env", "no-such-program-in-the-path"], "missing"), (["/etc/passwd"], "not-executable"),
    (["/"], "not-executable")], ids=str)
def test_what_cannot_be_executed(command, finding):
    answer = check(*command)
    assert refusals(answer) == [finding] and answer["findings"][0]["advice"]


# ---- command lines and files that nobody means well ----

def known_wrappers():
    """{name: its options}, from the table itself, so that what is added to it is tested, too."""
    text = (build.ROOT / "helper" / "check" / "wrapper.c").read_text()
    table = text[text.index("wrappers[] = {"):]
    table = table[:table.index("\n};")]
    wrappers = {}
    for entry in re.split(r"(?=\{\.name)", table)[1:]:
        fields = {name: "".join(re.findall(r'"([^"]*)"', value)) for name, value in
                  re.findall(r'\.(\w+) = ((?:"[^"]*"\s*)+)', entry)}
        letters = fields.get("flags", "") + fields.get("valued", "") + "cS"
        longs = fields.get("long_valued", "").split() + [
            "split-string", "command", "exec", "chroot"]
        wrappers[fields["name"]] = [f"-{letter}" for letter in sorted(set(letters))] + [
            f"--{name}" for name in longs]
    return wrappers


def test_the_table_of_wrappers_is_read():
    wrappers = known_wrappers()
    assert len(wrappers) > 40 and "-u" in wrappers["env"] and "--reuid" in wrappers["setpriv"]


@pytest.mark.parametrize("name", known_wrappers())
def test_words_that_are_empty_or_missing(name, directory):
    """Each option of each wrapper without its value, with an empty one, and with nothing behind."""
    wrapper = directory / name
    wrapper.symlink_to(program("waiter-static"))
    for words in ([], ["", ""], ["--"], ["--", ""], ["+", ""]):
        check(wrapper, *words)
    for option in known_wrappers()[name]:
        check(wrapper, option)
        check(wrapper, option, "")


@pytest.mark.parametrize("command", [
    ["env", "-S", ""], ["env", "-S", " \t "], ["env", "-S"], ["env", "-S="], ["env", "-vS", ""],
    ["env", "--split-string="], ["env", "--split-string"], ["env", "-S", "-S", ""],
    ["env", "-S", "A=sh", ""], ["env", "-S", "A=b"], ["env", "-S", "-"], ["env", "-i", "-S", ""],
    ["env", "env", "-S", ""], ["sh", "-c", ""], ["sh", "-c", "exec env -S ''"],
    ["sh", "-c", "''"], ["sh", "-c", "exec ''"], ["su", "-s", "", "-c", "", ""],
    ["chroot", "", ""], ["chroot", "/", ""], ["start-stop-daemon", "-S", "-x", ""],
    ["busybox", ""], ["capsh", "--"]], ids=str)
def test_a_line_that_becomes_nothing(command, directory):
    """`env -S ''` left no word of the command, and the first of them was looked at."""
    check(*command)
    quoted = " ".join("'" + word + "'" for word in command)
    check(script(directory, "end", f"#!/bin/sh\nexec {quoted}\n"))
    check(script(directory, "first", f"#!/usr/bin/env -S {' '.join(command)}\n"))


def special_files(directory):
    """What is no regular file and may act, or wait, when it is opened."""
    os.mkfifo(directory / "fifo", 0o755)
    os.mknod(directory / "device", 0o755 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket"))
    (directory / "socket").chmod(0o755)
    (directory / "folder").mkdir()
    return [directory / name for name in ("fifo", "device", "socket", "folder")]


@pytest.mark.parametrize("before", [[], ["sh"], ["sh", "-e"], ["env"], ["chroot", "/"]], ids=str)
def test_nothing_but_files_is_opened(directory, before):
    """A device may act on being opened (a watchdog), a FIFO may wait: neither is."""
    files = special_files(directory)
    opens = Opens(files)
    for path in files:
        answer = check(*before, path)
        assert before[:1] == ["sh"] or refusals(answer) == ["not-executable"]
    assert not opens.seen()
    opens.close()


def test_libraries_are_files(directory):
    """Their directory is named by the program's loader, so it is the program's choice."""
    os.mkfifo(directory / "liba.so")
    os.mknod(directory / "libb.so", 0o755 | stat.S_IFCHR, os.makedev(1, 3))
    (directory / "libs").mkdir()
    for name in ("a", "b"):
        compile_program(directory / "libs", f"lib{name}.so", f"int {name}(void) {{ return 0; }}\n",
                        "-shared", "-fPIC", f"-Wl,-soname,lib{name}.so")
    loader = re.search(r"\S*/ld-\S+", subprocess.run(
        ["ldd", program("waiter")], capture_output=True, text=True, check=True).stdout)[0]
    shutil.copy(loader, directory / "ld-linux.so")
    path = compile_program(
        directory, "uses", "int a(void), b(void); int main(void) { return a() + b(); }\n",
        f"-L{directory}/libs", "-la", "-lb", f"-Wl,--dynamic-linker={directory}/ld-linux.so")
    opens = Opens([directory / "liba.so", directory / "libb.so"])
    assert check(path)["result"] == "yes"
    assert not opens.seen()
    opens.close()


def sparse(path, head=b"", size=1 << 43):
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)
    path.chmod(0o755)
    return path


def elf(loader, needed=(), size=4096):
    """A program of one segment, of that size, with that loader and those libraries."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    at = 64 + 3 * 56
    interpreter, at = at, at + len(loader) + 1
    names, at = at, at + len(strings)
    entries = [(5, names), (10, len(strings)), (0x6ffffffb, 0x08000000)]
    entries += [(1, strings.index(b"\0" + name.encode() + b"\0") + 1) for name in needed] + [(0, 0)]
    dynamic = (at + 7) & ~7
    machine = pathlib.Path(program("waiter")).read_bytes()[:64]
    head = machine[:16] + struct.pack("<H", 3) + machine[18:24] + struct.pack(
        "<QQQIHHHHHH", 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    for kind, flags, offset, length in ((1, 5, 0, size), (3, 4, interpreter, len(loader) + 1),
                                        (2, 4, dynamic, 16 * len(entries))):
        head += struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, length, length, 8)
    body = head + loader.encode() + b"\0" + strings
    return body.ljust(dynamic, b"\0") + b"".join(struct.pack("<QQ", *entry) for entry in entries)


def test_libraries_without_end(directory):
    """Sixty of them, each with code as large as is looked at: so not all of them are."""
    names = [f"lib{number}.so" for number in range(60)]
    loader = sparse(directory / "ld-linux.so", elf("/x"))
    for name in names:
        sparse(directory / name, elf("/x", size=1 << 40), 1 << 40)
    path = sparse(directory / "program", elf(str(loader), names), 8192)
    answer = check(path)
    assert answer["result"] == "yes" and "libc" in ids(answer)


def endless_segments(head):
    """The header of a program whose every segment is as large as a file can be."""
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 1 << 62, 1 << 62, 4096)
    return head[:32] + struct.pack("<Q", 64) + head[40:56] + struct.pack("<H", 1000) + \
        head[58:64] + segment * 1000


def test_files_without_end(directory):
    """They are looked into only so far, and the answer comes."""
    head = pathlib.Path(program("waiter")).read_bytes()[:4096]
    for name, data in (("zeroes", b""), ("script", b"#!/bin/sh\n"), ("program", head),
                       ("segments", endless_segments(head))):
        path = sparse(directory / name, data)
        for command in ([path], ["sh", path]):
            check(*command)


def test_names_of_two_bytes_do_not_drive_the_terminal(directory):
    """U+009B begins a sequence as ESC [ does."""
    path = directory / "a\u009b2Jb\u00e9"
    shutil.copy(program("waiter"), path)
    result = run_check(path)
    assert result.returncode == 0 and "\u009b" not in result.stdout
    assert "a?2Jb\u00e9" in result.stdout


def test_names_do_not_turn_the_direction_of_writing(directory):
    """U+202E shows what follows it backwards: "nimda" would read as "admin"."""
    path = directory / "a\u202enimda"
    shutil.copy(program("waiter"), path)
    result = run_check(path)
    assert result.returncode == 0 and "\u202e" not in result.stdout
    assert "a?nimda" in result.stdout


# ---- upgrades agree ----

def waiter_words(port):
    return ["--tag", "g1", "--wait=epoll", "--nonblocking", "--port", str(port)]


def test_upgrade_says_the_same(moult, port):
    """A static program behind wrappers is refused by both, with the same words."""
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


PASSES_ON = """
#include <unistd.h>
int main(int argc, char **argv) { return argc > 1 ? execvp(argv[1], argv + 1) : 2; }
"""


def test_a_static_wrapper_is_no_obstacle(moult, port, directory):
    """It cannot be preloaded, but the environment goes through it to the program."""
    wrapper = compile_program(directory, "tini", PASSES_ON, "-static")
    command = [wrapper, program("waiter"), *waiter_words(port)]
    assert check(*command)["result"] == "yes"
    instance = moult().run(command=command)
    instance.upgrade()
    assert instance.status()["upgrades"]["completed"] == 1
    instance.stop()


def test_a_program_of_many_is_one_file(directory):
    """What it runs of itself is as static as it is, and drops the library with the environment."""
    box = compile_program(directory, "busybox", PASSES_ON, "-static")
    answer = check(box, "sh", "-c", f"exec {program('waiter')}")
    assert answer["result"] == "yes" and answer["path"] == program("waiter")
    assert [step["path"] for step in answer["chain"][:2]] == [str(box)] * 2
    assert refusals(check(box, "env", "-i", program("waiter"))) == ["static"]
    assert refusals(check(box, "httpd", "-f")) == ["static"]


@pytest.mark.parametrize("before", [["sh", "-c"], ["env", "-S"]], ids=" ".join)
@pytest.mark.parametrize("word", ["a ", "'' ", "a>b "])
def test_more_words_than_anybody_writes(before, word):
    """As long as the kernel lets an argument be: what is behind them cannot be told."""
    text = "exec " + word * (125000 // len(word))
    answer = check(*before, text)
    assert answer["result"] == "yes" and ids(answer, "note") == ["doubt"], answer


@pytest.mark.parametrize("wrapper", [["start-stop-daemon", "-S", "-x"], ["flock", "/tmp/lock"]],
                         ids=lambda wrapper: wrapper[0])
def test_wrappers_that_let_one_run_are_a_warning(wrapper):
    """The next generation would not be started, or wait for the end of the current one."""
    answer = check(*wrapper, program("waiter"))
    assert answer["result"] == "yes" and ids(answer, "warning") == ["runs-once"]
    assert answer["findings"][1]["advice"]


# A sanitiser's runtime does not outlive a cleared environment, nor a library that opens files first.
@pytest.mark.parametrize("wrapper", [
    ["setsid", "-w"], ["stdbuf", "-oL"], ["timeout", "60"], ["unshare", "-m"],
    *(pytest.param(wrapper, marks=pytest.mark.exact) for wrapper in (
        ["env", "-i"], ["setpriv", "--reuid=0", "--reset-env"], ["runuser", "-u", "root", "--"]))],
    ids=" ".join)
def test_an_upgrade_behind_a_wrapper(moult, port, wrapper):
    """What check promises, upgrade keeps: also where the environment is cleared on the way."""
    command = [*wrapper, program("waiter"), *waiter_words(port)]
    assert check(*command)["result"] == "yes"
    instance = moult().run(command=command)
    instance.upgrade()
    assert ask(port).startswith("GEN g1 ")
    instance.stop("--now")


# ---- the command ----

@pytest.mark.parametrize("words", [[], ["--json"], ["--"], ["--wait", "nginx"], ["-x", "nginx"],
                                   ["--json=1", "nginx"], [""]], ids=str)
def test_usage(words):
    result = run_check(*words)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("moult: ")


def test_options_behind_the_program_are_its_own():
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


def test_names_do_not_drive_the_terminal(directory):
    path = directory / "a\033[2Jb"
    shutil.copy(program("waiter"), path)
    result = run_check(path)
    assert result.returncode == 0 and "\033" not in result.stdout


def test_files_made_to_confuse(directory):
    """Damaged headers, tables that point anywhere, cut files: an answer, at once, each time."""
    chance = random.Random(4)
    whole = pathlib.Path(program("uring")).read_bytes()
    headers = struct.unpack_from("<Q", whole, 32)[0]
    path = directory / "damaged"
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            at = chance.choice([chance.randrange(16, 64), headers + chance.randrange(56 * 13),
                                chance.randrange(len(data))])
            data[at] = chance.choice([0, 1, 0x7f, 0xff, chance.randrange(256)])
        path.write_bytes(data[:chance.choice([len(data), chance.randrange(4, len(data))])])
        path.chmod(0o755)
        assert check(path)["program"] == str(path)
