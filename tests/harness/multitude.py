# SPDX-License-Identifier: MIT
"""Thousands of idle connections, in several processes: one process may not have so many
descriptors.

Run as a program, this file is one of those processes: multitude.py PORT SOURCE COUNT.  It obeys
"ask TAG" (each connection asks once, and TAG must answer), "close COUNT" and the end of its input,
and prints "done" after each.
"""

import resource
import selectors
import socket
import subprocess
import sys

EACH = 15000  # less than the ports of one source address, and than the usual hard limit


class Multitude:
    """`count` connections to 127.0.0.1:`port`, open when the constructor returns."""

    def __init__(self, port, count):
        self.counts = [min(EACH, count - start) for start in range(0, count, EACH)]
        self.processes = [
            subprocess.Popen([sys.executable, __file__, str(port), f"127.0.1.{number + 1}", str(part)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            for number, part in enumerate(self.counts)]
        self._wait(self.processes)

    @property
    def count(self):
        return sum(self.counts)

    @staticmethod
    def _wait(processes, deadline=60):
        for process in processes:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(deadline), "the connections are not there in time"
            line = process.stdout.readline()
            assert line == "done\n", f"the connections failed: {line}"

    def ask(self, tag):
        """Each gets one answer, from that generation."""
        for process in self.processes:
            process.stdin.write(f"ask {tag}\n")
        self._wait(self.processes)

    def close_some(self, count):
        """Closes the newest `count` connections."""
        for number, process in reversed(list(enumerate(self.processes))):
            part = min(count, self.counts[number])
            if part:
                process.stdin.write(f"close {part}\n")
                self._wait([process])
            self.counts[number] -= part
            count -= part

    def close(self):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(20)
            process.stdout.close()


def _ask(connections, tag):
    for start in range(0, len(connections), 500):
        part = connections[start:start + 500]
        for connection in part:
            connection.sendall(b"hello\n")
        for connection in part:
            answer = connection.recv(100)
            assert answer.split()[:2] == [b"GEN", tag.encode()], answer


def _main(port, source, count):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    connections = [socket.create_connection(("127.0.0.1", port), 30, (source, 0))
                   for _ in range(count)]
    print("done", flush=True)
    for line in sys.stdin:
        verb, argument = line.split()
        if verb == "ask":
            _ask(connections, argument)
        elif int(argument) >= len(connections):
            connections.clear()
        else:
            del connections[-int(argument):]
        print("done", flush=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
