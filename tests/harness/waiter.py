# SPDX-License-Identifier: MIT
"""The daemon that most tests upgrade: programs/waiter.c, which waits in epoll on one port."""

from harness.build import program


def waiter(tag, port, *more):
    return [program("waiter"), "--tag", tag, "--wait=epoll", "--nonblocking", "--port", str(port),
            *more]
