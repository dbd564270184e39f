# SPDX-License-Identifier: MIT
"""The launcher itself: its limits, its user, its death, and events at bad moments."""

import os
import resource
import shutil
import signal
import subprocess

import pytest

from harness import build, processes
from harness.build import program
from harness.load import assert_lost_only_with, assert_nothing_lost
from harness.network import ask
from harness.waiter import waiter
from harness.waiting import wait_until


def test_upgrades_leave_nothing_in_the_launcher(moult, port):
    """Descriptors, mappings and children are as many after nine upgrades as after three."""
    instance = moult().run(command=waiter("g1", port))

    def held():
        pid = instance.process.pid
        with open(f"/proc/{pid}/maps") as maps:
            return (sorted(os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0]
                           for fd in os.listdir(f"/proc/{pid}/fd")),
                    sum("memfd" in line for line in maps),
                    len(processes.descendants(pid)))

    def settled():
        """The same value in five looks: the daemon's end of a connection closes a little after the
        client's."""
        looks = []

        def same():
            looks.append(held())
            return len(looks) >= 5 and all(look == looks[-1] for look in looks[-5:])
        wait_until(same, 10, lambda: f"{looks[-5:]}")
        return looks[-1]

    counts = []
    for upgrade in range(1, 10):
        if upgrade % 4 == 0:
            instance.upgrade(command=waiter("bad", port, "--fail=exit1"), expect=1)
        else:
            instance.upgrade("--wait")
        instance.wait_alone()
        counts.append(settled())
    assert counts[-1] == counts[2], counts
    instance.stop()


@pytest.mark.exact
def test_a_daemon_with_a_limit_of_forty_descriptors(moult, load, port):
    """The descriptors of the library fit within the limit, too."""
    def command(tag):
        return ["sh", "-c", "ulimit -n 40; exec " + " ".join(waiter(tag, port))]
    instance = moult().run(command=command("g1"))
    client = load(f"127.0.0.1:{port}", rate=300, persistent=3)
    client.wait_answers(20)
    for tag in ("g2", "g3"):
        instance.upgrade(command=command(tag))
        client.renew()
        client.wait_answers(20, tag)
    assert_nothing_lost(client.stop())
    instance.wait_alone()
    instance.stop()


def test_each_generation_starts_with_the_limits_of_the_launcher(moult, port, directory):
    """Even if the generation before has raised its own limits."""
    script = f"ulimit -n >> {directory}/limits; exec {' '.join(waiter('g1', port))}"

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1234, 4321))
    instance = moult().run(command=["sh", "-c", script], preexec_fn=limit)
    instance.upgrade()
    assert (directory / "limits").read_text() == "1234\n1234\n"
    instance.stop()


def test_an_ordinary_user_runs_a_daemon(moult, load, port, directory):
    """Without any privilege: own runtime directory, own daemon."""
    for path in (build.MOULT, build.LIBRARY, program("waiter")):
        shutil.copy(path, directory)
    command = {tag: [str(directory / "waiter"), *waiter(tag, port)[1:]] for tag in ("g1", "g2")}
    instance = moult(user=65534)
    instance.moult = directory / "moult"
    instance.run(command=command["g1"])
    client = load(f"127.0.0.1:{port}", rate=600, persistent=3)
    client.wait_answers(50)
    instance.upgrade(command=command["g2"])
    instance.wait_generation(1, lambda old: old and old["connections"] == 3)
    client.renew()
    instance.wait_gone(1)
    client.wait_answers(50, "g2")
    assert_nothing_lost(client.stop())
    instance.stop()


@pytest.mark.exact
@pytest.mark.exact
def test_the_operators_own_preload_is_kept(moult, plain, port, directory):
    """The operator's library is loaded into the daemon and its children.  moult's library is
    hidden."""
    library = next(path for path in ("/lib/x86_64-linux-gnu/libm.so.6",
                                     "/lib/aarch64-linux-gnu/libm.so.6") if os.path.exists(path))
    path = directory / "mirror.out"
    instance = moult()
    instance.environment["LD_PRELOAD"] = library
    instance.run(command=[program("mirror"), "--tag", "g1", "--port", port, "--output", path])
    assert ask(port).startswith("GEN g1 ")
    assert path.read_text().count(f"environment LD_PRELOAD={library}\n") == 1
    children = (directory / "mirror.out.child").read_text()
    assert children.count(f"LD_PRELOAD={library}\n") == 5
    assert "libmoult" not in path.read_text() + children
    instance.stop()


def test_the_daemon_outlives_its_launcher(moult, load, port):
    """After SIGKILL of the launcher the daemon serves on as before."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=600, persistent=3)
    client.wait_answers(50)
    os.kill(instance.process.pid, signal.SIGKILL)
    instance.wait_ended()
    client.wait_answers(200)
    result = client.stop()
    assert_nothing_lost(result)
    assert instance.command("status", instance.name).returncode == 3
    processes.end_all()


def test_an_interrupted_upgrade_command(moult, load, port):
    """The upgrade is not left half done, and the next one works."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *waiter("g2", port, "--start-delay=500"))
    wait_until(lambda: instance.tagged("g2"), 10, instance.log)
    upgrade.send_signal(signal.SIGINT)
    upgrade.communicate()
    wait_until(lambda: sum(instance.status()["upgrades"][k] for k in ("completed", "failed")) == 1,
               10, instance.log)
    instance.upgrade(command=waiter("g3", port))
    client.wait_answers(20, "g3")
    assert_nothing_lost(client.stop())
    instance.wait_alone()
    instance.stop()


@pytest.mark.parametrize("how", ["stop", "now", signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_an_upgrade(moult, load, port, how):
    """No generation is left, and the upgrade command reports the stop."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=0, persistent=2)
    client.wait(lambda report: report["persistent"]["answered"] >= 2)
    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *waiter("bad", port, "--fail=hang"))
    wait_until(lambda: instance.tagged("bad"), 10, instance.log)
    if how in ("stop", "now"):
        stop = instance.start_command("stop", instance.name, *(["--now"] if how == "now" else []))
    else:
        instance.signal(how)
    client.close_persistent()
    assert instance.wait_ended() == 0
    _, err = upgrade.communicate(timeout=10)
    assert upgrade.returncode == 1 and err
    if how in ("stop", "now"):
        assert stop.wait(10) == 0
        stop.communicate()
    client.stop()
    assert not processes.descendants(), instance.log()


@pytest.mark.parametrize("restart", ["no", "always"])
def test_the_current_generation_dies_while_the_next_one_starts(moult, load, port, restart):
    """The queue stays open, and the next generation takes it over."""
    instance = moult().run(f"--restart={restart}", command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=600)
    client.wait_answers(50)
    upgrade = instance.start_command("upgrade", instance.name, "--",
                                     *waiter("g2", port, "--start-delay=700"))
    wait_until(lambda: instance.tagged("g2"), 10, instance.log)
    death = processes.kill([process.pid for process in instance.tagged("g1")])
    _, err = upgrade.communicate(timeout=20)
    assert upgrade.returncode == 0, err
    client.wait_answers(50, "g2")
    assert_lost_only_with(client.stop(), [death])
    instance.wait_alone()
    instance.stop()


def test_many_hup_signals_at_once(moult, load, port):
    """Upgrades run one at a time, and the launcher does not change."""
    instance = moult().run(command=waiter("g1", port))
    client = load(f"127.0.0.1:{port}", rate=300)
    client.wait_answers(20)
    for _ in range(50):
        instance.signal(signal.SIGHUP)
        instance.signal(signal.SIGUSR1)
    wait_until(lambda: instance.status()["upgrades"]["completed"] >= 1, 10, instance.log)
    wait_until(lambda: len(instance.status()["generations"]) == 1, 10, instance.log)
    instance.upgrade(command=waiter("g2", port))
    client.wait_answers(20, "g2")
    assert_nothing_lost(client.stop())
    instance.wait_alone()
    instance.stop()


@pytest.mark.parametrize("options", [
    ("--drain-timeout=infinity", "--kill-after=0s"), ("--drain-timeout", "1h"),
    ("--ready-timeout=2m", "--stop-signal=SIGTERM"), ("--stop-signal=term",),
    ("--stop-signal=15", "--drain-signal=URG"), ("--max-draining=64", "--log=stderr", "-v"),
    ("--log=syslog",), ("--restart", "no"),
], ids=" ".join)
def test_options_that_are_valid(moult, port, options):
    instance = moult().run(*options, command=waiter("g1", port))
    instance.upgrade(command=waiter("g2", port))
    instance.wait_alone()
    assert ask(port).startswith("GEN g2 ")
    if "--log=syslog" in options:
        assert instance.log() == ""
    instance.stop()


def test_status_watch(moult, port):
    """It goes on printing until it is interrupted."""
    instance = moult().run(command=waiter("g1", port))
    watch = instance.start_command("status", instance.name, "--watch")
    for _ in range(2):
        wait_until(lambda: "current" in watch.stdout.readline(), 10, "nothing to see")
    watch.terminate()
    watch.communicate()
    instance.stop()


def test_a_program_that_waits_with_io_uring_is_reported(moult, port):
    """It listens and is never seen to wait: within seconds the log gives the reason, and the
    program runs on."""
    instance = moult().run(command=[program("uring"), "--tag", "g1", "--port", str(port)],
                           wait=False)
    said = instance.wait_log(r"uring has an io_uring and waits for connections nowhere else|"
                             r"exited with status 77")
    if "77" in said.group():
        pytest.skip("this kernel gives no io_uring")
    assert instance.tagged("g1")


def status_field(pid, name):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name + ":"))


def test_keepers_have_no_privileges(moult, port):
    """They keep one capability, to end processes; the daemon has those of the launcher."""
    instance = moult().run(command=waiter("g1", port))
    daemon = instance.generation(1)["pid"]
    keeper = int(status_field(daemon, "PPid"))
    assert status_field(keeper, "Name").startswith("moult-keeper")
    others = ~(1 << 5)  # all but CAP_KILL
    wait_until(lambda: int(status_field(keeper, "CapPrm"), 16) & others == 0, 10, "privileges")
    assert status_field(keeper, "NoNewPrivs") == "1"
    for which in ("CapEff", "CapInh", "CapAmb"):
        assert int(status_field(keeper, which), 16) & others == 0, which
    for which in ("CapPrm", "CapEff", "CapBnd", "CapInh", "NoNewPrivs"):
        assert status_field(daemon, which) == status_field("self", which), which
    instance.stop()


@pytest.mark.exact
def test_a_daemon_with_the_same_uid_cannot_trace_the_launcher(moult, port, directory):
    """The daemon can neither trace nor read the memory of launcher and keeper."""
    for path in (build.MOULT, build.LIBRARY, program("waiter")):
        shutil.copy(path, directory)
    instance = moult(user=65534)
    instance.moult = directory / "moult"
    instance.run(command=[str(directory / "waiter"), *waiter("g1", port)[1:]])
    daemon = instance.generation(1)["pid"]
    keeper = int(status_field(daemon, "PPid"))

    def reach(pid):
        return subprocess.run(["cat", f"/proc/{pid}/environ"], user=65534, group=65534,
                              extra_groups=[], capture_output=True, timeout=20).returncode
    assert reach(instance.process.pid) != 0 and reach(keeper) != 0
    assert reach(daemon) == 0
    instance.upgrade()
    instance.stop()
