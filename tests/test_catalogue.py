# SPDX-License-Identifier: MIT
"""The trial of a real daemon finds defects: each test gives the trial a daemon with one defect."""

import pytest

from catalogue.trial import Trial
from catalogue.web import NGINX, nginx

pytestmark = pytest.mark.daemons


def truncates_its_log(setting, tag):
    log = setting.directory / "access.log"
    command = " ".join(f"'{word}'" for word in nginx(setting, tag))
    return ["sh", "-c", f"echo {tag} > {log}; exec {command}"]


def names_another(setting):
    path = setting.directory / "other.pid"
    path.write_text("1\n")
    return str(path)


WRONG = {
    "it ends before its connections do": (
        dict(run=("--drain-timeout=0s",), persistent=0, download=""), "half a request"),
    "its pid file names another": (dict(pid_file=names_another), "the pid file names 1"),
    "its pid file is missing": (dict(pid_file=lambda setting: str(setting.directory / "none")),
                                "No such file"),
    "its log is written from the start": (
        dict(command=truncates_its_log, failing=lambda daemon, setting: ["false"]),
        "access.log had"),
    "its UNIX socket is missing": (
        dict(sockets=lambda setting: (setting.socket,)), "No such file"),
    "its bad version is none": (
        dict(failing=lambda daemon, setting: daemon.command(setting, "bad")), "ended with 0, not 1"),
    "its download is cut": (dict(download="/"), "the download"),
    "another generation answers": (dict(answer=b"GEN g0 "), "half a request"),
    "it is not refused": (dict(refused="is written in Go"), "ended with 0"),
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda text: text.replace(" ", "-"))
def test_the_trial_finds_each_defect(started, directory, port, wrong):
    changes, complaint = WRONG[wrong]
    trial = Trial(NGINX.but("nginx", **changes), directory, port)
    started.append(trial)
    with pytest.raises((AssertionError, OSError), match=complaint):
        trial.run()


def test_the_trial_fails_over_a_stop_and_start(started, directory, port):
    """The same load over a stop and a start: connections are lost, and the trial says so."""
    trial = Trial(NGINX, directory, port)
    started.append(trial)
    instance = trial.instance

    def restart(command, expect=0):
        del expect
        instance.stop("--now")
        return instance.run(command=command)
    instance.instant, instance.upgrade = 0, restart
    with pytest.raises(AssertionError, match="half a request"):
        trial.run()
    trial.close()
    assert trial.result.losses.keys() & {"refused", "cut", "reset"}, trial.result.explain()
