# SPDX-License-Identifier: MIT
"""Runs `moult check` and reads its output; makes programs and scripts for it."""

import json
import subprocess

from harness import build


def run_check(*words, moult=build.MOULT, **options):
    return subprocess.run([str(moult), "check", *map(str, words)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=30, **options)


def check(*command, **options):
    """Returns the JSON object.  Its result must agree with the exit status."""
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


PASSES_ON = """
#include <unistd.h>
int main(int argc, char **argv) { return argc > 1 ? execvp(argv[1], argv + 1) : 2; }
"""
