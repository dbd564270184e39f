# SPDX-License-Identifier: MIT
"""Real daemons from Debian, unmodified, upgraded under load: those of the catalogue that are fast.

scripts/compat tries all of them, in the same way.
"""

import pathlib
import re
import signal
import subprocess

import pytest

import catalogue
from catalogue.network import dnsmasq, unbound
from catalogue.trial import Trial
from catalogue.web import nginx
from harness import processes
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches

pytestmark = pytest.mark.daemons

FAST = [daemon for daemon in catalogue.ALL if daemon.fast]


@pytest.mark.parametrize("daemon", FAST, ids=lambda daemon: daemon.name.replace(" ", "-"))
def test_upgrades_lose_nothing(started, directory, port, daemon):
    """Good upgrades and a failing one, with connections held across each; then the daemon's files
    are checked."""
    trial = Trial(daemon, directory, port)
    started.append(trial)
    trial.run()
    status = trial.status
    assert (status["upgrades"]["completed"], status["upgrades"]["failed"]) == (4, 1)
    assert [g["state"] for g in status["generations"]] == ["current"]
    assert not processes.descendants()


@pytest.mark.parametrize("spoil", ["syntax", "missing", "port"])
def test_a_bad_configuration_of_nginx_changes_nothing(moult, load, directory, port, spoil):
    """The new nginx exits with its error, the error is in the log, and the service goes on."""
    setting = Setting(directory, port)
    instance = moult("nginx").run(command=nginx(setting, "g1"))
    client = load(f"127.0.0.1:{port}", rate=600, mode="http", persistent=4)
    client.wait_answers(50)
    bad = nginx(setting, "bad")
    path = pathlib.Path(bad[2])
    if spoil == "missing":
        path.unlink()
    else:
        word = {"syntax": "worker_processes 2 2;", "port": "worker_processes zero;"}[spoil]
        path.write_text(path.read_text().replace("worker_processes 2;", word))
    result = instance.upgrade(command=bad, expect=1)
    assert "status 1" in result.stderr
    assert "[emerg]" in result.stderr and "[emerg]" in instance.log()
    client.wait_answers(50, "g1")
    switched = instance.upgrade(command=nginx(setting, "g2")).instant
    client.renew()
    client.wait_answers(50, "g2")
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, ["g1", "g2"], [switched])
    instance.stop()


@pytest.mark.parametrize("command", [dnsmasq(), unbound], ids=["dnsmasq", "unbound"])
def test_a_dns_benchmark_loses_no_question(moult, directory, port, command):
    """One socket asks 2000 questions a second, until it is told to end and to report."""
    setting = Setting(directory, port)
    questions = directory / "questions"
    questions.write_text("gen.test TXT\n")
    instance = moult("server").run(command=command(setting, "g1"))
    with subprocess.Popen(["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions),
                           "-Q", "2000", "-l", "60"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as client:
        try:
            for number, tag in enumerate(["g2", "g3", "g4"], 1):
                instance.wait_generation(number, lambda g: g["datagrams"] >= 100)
                instance.upgrade(command=command(setting, tag))
            instance.wait_generation(4, lambda g: g["datagrams"] >= 100)
        finally:
            client.send_signal(signal.SIGINT)
        report = client.stdout.read()
    assert re.search(r"Queries completed: +[1-9]", report), report
    assert re.search(r"Queries lost: +0 ", report), report
    assert re.search(r"Response codes: +NOERROR \d+ \(100.00%\)", report), report
    instance.stop("--now")
