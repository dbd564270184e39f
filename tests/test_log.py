# SPDX-License-Identifier: MIT
"""The output of moult: no name can control the terminal, and no blocked reader stops the
launcher."""

import contextlib
import os
import re
import signal
import socket
import subprocess

from harness.waiter import waiter


# A visible word follows each: an escape sequence, C1 as a byte and in UTF-8, lines, directions.
HOSTILE = (b"\x1b]0;owned\x07 \x1b[2Kb \r\n c\xc2\x9b31md \x9b31me \xe2\x80\xaef \xe2\x80\xa8g "
           b"\x7fh \xffi \xc0\xafj \xed\xa0\x80k \xf4\x90\x80\x80l")


HARMLESS = "käse-日本-😀"


def assert_harmless(text):
    """Only printable UTF-8 and line ends."""
    text = text.decode("utf-8")
    bad = re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]", text)
    assert not bad, (bad, text)
    return text


def test_no_name_controls_the_terminal(moult, port, directory):
    """Other users choose the names of programs, arguments and sockets.  The number of lines stays
    the same."""
    strange = os.fsencode(directory) + b"/" + HOSTILE.replace(b"\xc0\xaf", b"")
    os.mkdir(strange)
    path = strange + b"/" + HARMLESS.encode()
    instance = moult()
    instance.run("-v", command=waiter("g1", port, "--output", os.fsdecode(HOSTILE)))
    result = subprocess.run([str(instance.moult), "run", "-n", "x", "--", strange + b"/missing"],
                            capture_output=True, env=instance.environment, timeout=20)
    assert "b ?? c?31md ?31me ?f ?g ?h ?i" in assert_harmless(result.stderr)
    expected = len(instance.command("status", instance.name).stdout.splitlines())
    missing = os.fsdecode(strange + b"/missing")
    command = instance.start_command("upgrade", instance.name, "--", missing)
    command.wait(20)
    error = os.read(command.stderr.fileno(), 1 << 16)
    command.stdout.close()
    command.stderr.close()
    assert "b ?? c?31md ?31me ?f ?g ?h ?i" in assert_harmless(error)
    instance.upgrade(command=waiter("g2", port, "--output", os.fsdecode(HOSTILE),
                                    f"--unix={os.fsdecode(path)}"))
    text = subprocess.run([str(instance.moult), "status", instance.name], capture_output=True,
                          env=instance.environment, timeout=20).stdout
    text = assert_harmless(text)
    assert HARMLESS in text
    assert len(text.splitlines()) <= expected + 2, text
    instance.signal(signal.SIGUSR1)
    instance.wait_log(HARMLESS)
    assert_harmless(instance.log_path.read_bytes())
    names = [listener["address"] for listener in instance.status()["listeners"]]
    assert any(name.startswith("unix:") for name in names), names
    instance.stop()


def test_a_full_log_pipe_does_not_block_the_launcher(moult, port, directory):
    """Lines that do not fit are lost, upgrades go on, and the number of lost lines is logged
    once."""
    fifo = directory / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    instance = moult().run("-v", through=["sh", "-c", f'exec "$@" 2>{fifo}', "sh"],
                           command=waiter("g1", port))
    os.read(reader, 1 << 20)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(reader, b"x" * 4096)
    for _ in range(3):
        instance.upgrade("--wait")
    text = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            text += os.read(reader, 1 << 16)
    assert b"generation" not in text
    instance.upgrade("--wait")
    text = os.read(reader, 1 << 16).decode()
    assert re.match(r"moult: daemon: \d+ lines were lost\n(moult: daemon: .*\n)*"
                    r"moult: daemon: generation 5: ", text), text
    assert text.count("were lost") == 1
    instance.stop()
    os.close(reader)


def test_the_last_output_shown_is_that_of_the_program(moult, port):
    """Launcher and commands write to the same file; none of their lines is taken for the
    program's."""
    instance = moult().run("-v", command=waiter("g1", port))
    complaint = 'printf "no such colour: blue\\nunfinished" >&2; sleep 0.3; exit 7'
    with open(instance.log_path, "ab") as log:
        def upgrade(script):
            return subprocess.run([str(instance.moult), "upgrade", "-v", instance.name, "--",
                                   "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, env=instance.environment, timeout=30).returncode
        start = len(instance.log())
        assert upgrade(complaint) == 1
        assert "its last output: unfinished\n" in instance.log()[start:]
        start = len(instance.log())
        assert upgrade("sleep 0.3; exit 7") == 1
        assert "its last output" not in instance.log()[start:], instance.log()[start:]
        start = len(instance.log())
        assert upgrade("echo moult: web: generation 9: started >&2;"
                       "echo generation 9: started, pid 7 >&2; exit 7") == 1
        assert "its last output" not in instance.log()[start:], instance.log()[start:]
    instance.stop()


def test_a_full_syslog_queue_does_not_block_the_launcher(moult, port, directory):
    """Lines that do not fit are lost."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as logger:
        logger.bind(str(directory / "logger"))
        here = ('mount -t tmpfs none /mnt && mount --bind /dev /mnt && mount -t tmpfs none /dev &&'
                'for i in null zero tty full random urandom shm pts; do ln -s /mnt/$i /dev/$i; done;'
                f'ln -s {directory}/logger /dev/log; exec "$@"')
        instance = moult().run("-v", "--log=syslog", through=["unshare", "-m", "sh", "-c", here,
                                                              "sh"], command=waiter("g1", port))
        assert b"<29>" in logger.recv(4096)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as noise:
            noise.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    noise.sendto(b"noise", str(directory / "logger"))
        instance.upgrade("--wait")
        logger.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert b"generation 2" not in logger.recv(4096)
        instance.upgrade("--wait")
        assert re.search(rb"moult\[\d+\]: daemon: \d+ lines were lost$", logger.recv(4096))
        with contextlib.suppress(BlockingIOError):
            while b"generation 3" not in (line := logger.recv(4096)):
                pass
        assert b"generation 3" in line
        instance.stop()
