# SPDX-License-Identifier: MIT
# seccomp-server.py PORT TAG [reuseport]: HTTP and streams of lines behind a strict seccomp filter.
#
# The filter kills the process at every system call that is not in the list.  Those that make a
# process or execute a program fail with EPERM, so that the server can try them before it serves.
import asyncio
import errno
import os
import sys

import seccomp

port, tag, *options = sys.argv[1:]

ALLOWED = """accept4 brk clock_gettime clock_nanosleep close epoll_ctl epoll_wait exit exit_group
    fcntl futex getpeername getpid getrandom getsockname getsockopt gettid ioctl madvise mmap mremap
    munmap read recvfrom restart_syscall rt_sigprocmask rt_sigreturn sendto setsockopt shutdown
    write""".split()
REFUSED = "clone clone3 execve execveat fork vfork".split()


async def answer(reader, writer):
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        while "upgrade: lines" not in head:
            body = f"GEN {tag} seccomp\n"
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            if "connection: close" in head:
                return
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await stream(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has gone away
    finally:
        writer.close()


async def count(reader):
    """How many lines the client sends before its "end"."""
    received = 0
    while await reader.readuntil(b"\n") != b"end\n":
        received += 1
    return received


async def stream(reader, writer):
    """Sends numbered lines and counts the client's, until one of these says "end"."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n")
    client, sent = asyncio.create_task(count(reader)), 0
    while not client.done():
        sent += 1
        writer.write(f"{tag} {sent}\n".encode())
        await asyncio.sleep(0.025)
    writer.write(f"{tag} end {sent} {client.result()}\n".encode())


def confine():
    rules = seccomp.SyscallFilter(defaction=seccomp.KILL_PROCESS)
    for name in ALLOWED:
        rules.add_rule(seccomp.ALLOW, name)
    for name in REFUSED:
        rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
    rules.load()


def must_fail(function, *arguments):
    try:
        function(*arguments)
    except PermissionError:
        return
    sys.exit(f"{function.__name__}() is not refused")


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(port),
                                        reuse_port="reuseport" in options)
    confine()
    must_fail(os.fork)
    must_fail(os.execv, "/bin/true", ["true"])
    await server.serve_forever()


asyncio.run(main())
