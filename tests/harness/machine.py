# SPDX-License-Identifier: MIT
"""A machine of the test's own for services: the fixed paths of init scripts and supervisors.

A mount namespace in which /etc, /run, /var/log and /usr/local may be written to.  What is written is
gone when the test ends.  moult is installed in /usr/local, and nginx has a configuration that names
its version.
"""

import os
import signal
import subprocess
import time

from harness import build, processes
from harness.moult import clean_environment
from harness.waiting import wait_until

EXAMPLES = build.ROOT / "scripts" / "examples"

MOUNTS = """set -e
mount -t tmpfs none /var/log
mount -t tmpfs none /var/lib/nginx
mount -t tmpfs none /usr/local
mount -t tmpfs none /run
mkdir -m 1777 /run/lock
mkdir -p /run/etc/upper /run/etc/work /var/log/nginx /var/log/supervisor /usr/local/bin /usr/local/lib/moult
mount -t overlay none -o "lowerdir=${TREE:+$TREE/etc:}/etc,upperdir=/run/etc/upper,workdir=/run/etc/work" /etc
mount -t tmpfs none /etc/init.d  # OpenRC looks at each script
for directory in ${TREE:+bin sbin lib}; do
    mount -t overlay none -o "lowerdir=$TREE/$directory:/usr/$directory" "/usr/$directory"
done
echo ready
exec sleep infinity
"""

NGINX = """pid /run/nginx.pid;
error_log stderr;
worker_processes 2;
events {{ }}
http {{
    access_log off;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "GEN {tag} nginx\\n"; }}
    }}
}}
"""


class Machine:
    """`tree`: unpacked packages that are there as well."""

    def __init__(self, port, tree=None):
        self.port = port
        self.holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", MOUNTS], text=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       env=clean_environment(TREE=str(tree or "")))
        assert self.holder.stdout.readline() == "ready\n", "no mounts"
        self.started = []
        self.copy(build.MOULT, "/usr/local/bin/moult")
        self.copy(build.LIBRARY, "/usr/local/lib/moult/libmoult.so")

    # By commands inside: from outside, /proc/PID/root/... follows an absolute symbolic link to a
    # file of the real machine.

    def copy(self, source, path):
        self.run("sh", "-c", 'mkdir -p "${2%/*}" && cp -rT "$1" "$2"', "sh", source, path, expect=0)

    def write(self, path, text, mode=0o644):
        self.run("sh", "-c", 'mkdir -p "${1%/*}" && printf %s "$2" >"$1" && chmod "$3" "$1"',
                 "sh", path, text, f"{mode:o}", expect=0)

    def install(self, example, path):
        """Copies a file or folder of the examples."""
        self.copy(EXAMPLES / example, path)

    def configure(self, tag, port=None):
        """The next version of nginx answers with this tag."""
        self.write("/etc/nginx/nginx.conf", NGINX.format(port=port or self.port, tag=tag))

    def spoil(self):
        """The next version of nginx fails."""
        self.write("/etc/nginx/nginx.conf", "nonsense;\n")

    def inside(self, words):
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", *map(str, words)]

    @property
    def environment(self):
        return clean_environment(PATH="/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")

    def run(self, *words, expect=None, timeout=40):
        """Returns the finished command, with the instants .begin and .instant (monotonic, ns)."""
        begin = time.monotonic_ns()
        result = subprocess.run(self.inside(words), capture_output=True, text=True, cwd="/",
                                stdin=subprocess.DEVNULL, env=self.environment, timeout=timeout)
        result.begin, result.instant = begin, time.monotonic_ns()
        result.said = result.stdout + result.stderr
        if expect is not None:
            assert result.returncode == expect, f"{words}: {result.returncode}\n{result.said}"
        return result

    def start(self, *words, end=signal.SIGTERM):
        """Starts a supervisor.  `end`: the signal that ends it with all its services."""
        process = subprocess.Popen(self.inside(words), stdin=subprocess.DEVNULL, cwd="/",
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.environment, start_new_session=True)
        self.started.append((process, end))

    def moult(self, *words, **options):
        return self.run("/usr/local/bin/moult", *words, **options)

    def processes(self):
        """Those of services and supervisors."""
        def is_inside(pid):
            try:
                return os.readlink(f"/proc/{pid}/ns/mnt") == here
            except FileNotFoundError:  # it has ended
                return False
        here = os.readlink(f"/proc/{self.holder.pid}/ns/mnt")
        return [process for process in processes.descendants()
                if process.pid != self.holder.pid and is_inside(process.pid)]

    def wait_nothing_left(self):
        """No process of the service, while its supervisor still runs."""
        def left():
            return [process for process in self.processes()
                    if processes.name(process.pid) in ("moult", "moult-keeper", "nginx")]
        wait_until(lambda: not left(), 20, lambda: f"left: {left()}")

    def close(self):
        for process, end in reversed(self.started):
            process.send_signal(end)
            process.wait(20)
        if self.started:  # runsvdir does not wait for its children
            wait_until(lambda: not self.processes(), 20, lambda: f"left: {self.processes()}")
        self.holder.stdout.close()
        os.kill(self.holder.pid, signal.SIGKILL)
        self.holder.wait()
