# SPDX-License-Identifier: MIT
"""`moult check` and input that is malformed: empty words, special files, files without end."""

import os
import pathlib
import random
import re
import shutil
import stat
import struct
import subprocess

import pytest

from harness import build
from harness.build import program
from harness.check import check, compile_program, ids, refusals, script
from harness.opens import Opens, special_files


# ---- words ----

def known_wrappers():
    """{name: its options}, read from the table itself, so that later additions are tested, too."""
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
def test_empty_and_missing_words_of_every_wrapper(name, directory):
    """Each option of each wrapper without its value, with an empty value, and with nothing after
    it."""
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
def test_a_command_line_of_which_nothing_is_left(command, directory):
    """After `env -S ''` no word of the command is left, and check must not read the first one."""
    check(*command)
    quoted = " ".join("'" + word + "'" for word in command)
    check(script(directory, "end", f"#!/bin/sh\nexec {quoted}\n"))
    check(script(directory, "first", f"#!/usr/bin/env -S {' '.join(command)}\n"))


@pytest.mark.parametrize("before", [["sh", "-c"], ["env", "-S"]], ids=" ".join)
@pytest.mark.parametrize("word", ["a ", "'' ", "a>b "])
def test_a_command_as_long_as_the_kernel_allows(before, word):
    """Check does not know the words beyond its limit, and says so."""
    text = "exec " + word * (125000 // len(word))
    answer = check(*before, text)
    assert answer["result"] == "yes" and ids(answer, "note") == ["doubt"], answer


# ---- files ----

@pytest.mark.parametrize("before", [[], ["sh"], ["sh", "-e"], ["env"], ["chroot", "/"]], ids=str)
def test_only_regular_files_are_opened(directory, before):
    """Opening a device may trigger it (a watchdog), and opening a FIFO may block."""
    files = special_files(directory)
    opens = Opens(files)
    for path in files:
        answer = check(*before, path)
        assert before[:1] == ["sh"] or refusals(answer) == ["not-executable"]
    assert not opens.seen()
    opens.close()


def test_only_regular_files_are_opened_as_libraries(directory):
    """The program names its loader, and therefore the directory that is searched for libraries."""
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


def test_huge_libraries_are_read_up_to_a_limit(directory):
    """Sixty libraries.  Each has as much code as check reads in all."""
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


def test_huge_files_are_read_up_to_a_limit(directory):
    head = pathlib.Path(program("waiter")).read_bytes()[:4096]
    for name, data in (("zeroes", b""), ("script", b"#!/bin/sh\n"), ("program", head),
                       ("segments", endless_segments(head))):
        path = sparse(directory / name, data)
        for command in ([path], ["sh", path]):
            check(*command)


def test_damaged_programs_get_an_answer(directory):
    """Damaged headers, tables that point anywhere, and truncated files: check answers at once each
    time."""
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
