# SPDX-License-Identifier: MIT
"""The launcher under test: `moult run`, and the operator's commands to it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

from harness import build, processes
from harness.network import listens
from harness.waiting import wait_until


class Moult:
    """One instance, with a runtime directory of its own.  self.log() returns its output."""

    def __init__(self, directory, name="daemon", user=None):
        self.name = name
        self.moult = build.MOULT
        self.user = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.directory = pathlib.Path(directory)
        self.runtime = self.directory / "run"
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(self.runtime, user, user)
        self.log_path = self.directory / f"{name}.log"
        self.environment = clean_environment(MOULT_RUNTIME_DIR=str(self.runtime))
        if build.SANITISER:
            self.environment["LD_PRELOAD"] = build.SANITISER
        self.process = None

    # -- the launcher --

    def run(self, *options, command, wait=True, through=(), **popen):
        """Runs `THROUGH moult run -n NAME OPTIONS -- COMMAND`; returns when it serves, or at
        once."""
        assert self.moult.exists(), f"{self.moult} has not been built"
        if build.CELLS:
            options = ("--verbose", *options)
        words = [*through, str(self.moult), "run", "-n", self.name, *options, "--", *map(str, command)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment,
                                            start_new_session=True, **self.user, **popen)
        if wait:
            self.wait_serving()
        return self

    def run_ready_by(self, flag, port, command):
        """Runs with --ready=exec.  Makes the file for the first generation as soon as that
        listens."""
        self.run(f"--ready=exec=test -e {flag}", command=command, wait=False)
        wait_until(lambda: listens("127.0.0.1", port), 10, self.log)
        flag.touch()
        self.wait_serving()
        flag.unlink()
        return self

    def wait_serving(self, deadline=15.0):
        wait_until(self._serves, deadline, lambda: f"the instance does not serve\n{self.log()}")

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"the launcher ended with {self.process.returncode}\n{self.log()}")
        status = self.status(check=False)
        return status is not None and status["state"] == "serving"

    def wait_ended(self, deadline=15.0):
        """Waits until the launcher has ended; returns its exit status."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the launcher has not ended\n{self.log()}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # -- the operator's commands --

    def command(self, *words, timeout=40.0, through=()):
        return subprocess.run([*through, str(self.moult), *map(str, words)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=self.environment, timeout=timeout,
                              **self.user)

    def start_command(self, *words):
        return subprocess.Popen([str(self.moult), *map(str, words)], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.environment, **self.user)

    def upgrade(self, *options, command=None, expect=0):
        """Returns the finished command, with the instant at which it returned as `.instant`."""
        words = ["upgrade", self.name, *options]
        if command:
            words += ["--", *command]
        result = self.command(*words)
        result.instant = time.monotonic_ns()
        assert result.returncode == expect, (
            f"upgrade ended with {result.returncode}, not {expect}:\n{result.stderr}\n"
            f"--- log\n{self.log()}")
        for ready in re.finditer(r"generation (\d+): [^\n]*ready after", result.stderr):
            assert f"generation {ready[1]}: started" in result.stderr[:ready.start()], (
                f"ready before it was started:\n{result.stderr}")
        return result

    def status(self, check=True):
        result = self.command("status", self.name, "--json")
        if result.returncode != 0 and not check:
            return None
        assert result.returncode == 0, f"status: {result.stderr}\n{self.log()}"
        return json.loads(result.stdout)

    def stop(self, *options):
        result = self.command("stop", self.name, *options)
        assert result.returncode == 0, f"stop: {result.stderr}\n{self.log()}"
        status = self.wait_ended()
        assert status == 0, f"the launcher ended with {status}\n{self.log()}"

    # -- its state --

    def generation(self, number):
        """That generation's part of the status, or None when it is gone."""
        for generation in self.status()["generations"]:
            if generation["id"] == number:
                return generation
        return None

    def wait_generation(self, number, condition, deadline=10.0):
        """Waits until condition(generation) is true.  The condition gets None for a generation that
        is gone."""
        wait_until(lambda: condition(self.generation(number)), deadline,
                   lambda: f"generation {number}: {self.status()}\n{self.log()}")

    def wait_gone(self, number, deadline=15.0):
        self.wait_generation(number, lambda generation: generation is None, deadline)

    def wait_alone(self, deadline=15.0):
        """Waits until only the current generation is left; returns it."""
        def alone():
            generations = self.status()["generations"]
            return len(generations) == 1 and generations[0]
        return wait_until(alone, deadline, lambda: f"{self.status()}\n{self.log()}")

    def tagged(self, tag):
        """Living processes of the generation with this --tag, without the launcher."""
        return [process for process in processes.with_words("--tag", tag)
                if process.command[0] != str(self.moult)]

    def wait_log(self, pattern, deadline=10.0, start=0):
        """Waits until the log (from `start` on) has a match; returns the match."""
        return wait_until(lambda: re.search(pattern, self.log()[start:]), deadline,
                          lambda: f"no {pattern!r} in the log:\n{self.log()}")

    def close(self):
        """Ends the launcher if the test has not.  No event may have been impossible in its state."""
        self._end()
        log = self.log()
        if build.CELLS:
            with open(build.CELLS, "a", encoding="utf-8") as cells:
                for line in re.findall(r"^moult: .*: (.*, while .*)$", log, re.MULTILINE):
                    print(line, file=cells)
        assert "internal error" not in log, log

    def _end(self):
        if not self.process or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"SIGINT does not end the launcher\n{self.log()}") from None


def clean_environment(**more):
    """The environment of the test, without variables of a launcher or of the test run.

    A sanitiser's runtime has to come first in every process that loads a sanitised library; see
    scripts/sanitised.
    """
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("MOULT", "PYTEST", "LEGACY"))
                   and name not in ("LD_PRELOAD", "NOTIFY_SOCKET")}
    if "MOULT_PRELOAD" in os.environ:  # a sanitiser's runtime, see scripts/sanitised
        environment["LD_PRELOAD"] = os.environ["MOULT_PRELOAD"]
    environment.update(more)
    return environment
