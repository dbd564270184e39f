# SPDX-License-Identifier: MIT
"""Real daemons from Debian, unmodified, upgraded five times under load."""

import dataclasses
import os
import pathlib
import subprocess
from collections.abc import Callable

import pytest

from harness import build, processes
from harness.daemons import Setting
from harness.load import assert_nothing_lost, assert_switches

pytestmark = pytest.mark.daemons

TAGS = ["g1", "g2", "g3", "g4", "g5", "g6"]


def nginx(setting, tag):
    return ["nginx", "-c", setting.fill_in("nginx.conf", tag), "-g", "daemon off;"]


def nginx_daemonised(setting, tag):
    return ["nginx", "-c", setting.fill_in("nginx.conf", tag)]


def nginx_reuseport(setting, tag):
    """Each worker has a socket of its own."""
    return ["nginx", "-c", setting.fill_in("nginx-reuseport.conf", tag), "-g", "daemon off;"]


def nginx_unix(setting, tag):
    return ["nginx", "-c", setting.fill_in("nginx-unix.conf", tag), "-g", "daemon off;"]


def redis(setting, tag):
    return ["redis-server", setting.fill_in("redis.conf", tag)]


def redis_unix(setting, tag):
    return [*redis(setting, tag), "--port", "0", "--unixsocket", str(setting.socket)]


def memcached(setting, tag):
    """The only number of ours in its answers is the limit of connections."""
    return ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(setting.port), "-t", "2",
            "-c", str(1000 + int(tag[1:]))]


def memcached_unix(setting, tag):
    return ["memcached", "-u", "nobody", "-s", str(setting.socket), "-t", "2",
            "-c", str(1000 + int(tag[1:]))]


def haproxy(setting, tag):
    return ["haproxy", "-db", "-f", setting.fill_in("haproxy.cfg", tag)]


def haproxy_master_worker(setting, tag):
    return ["haproxy", "-W", "-f", setting.fill_in("haproxy-threads.cfg", tag)]


def haproxy_unix(setting, tag):
    return ["haproxy", "-db", "-f", setting.fill_in("haproxy-unix.cfg", tag)]


def uwsgi(setting, tag):
    return ["uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{setting.port}",
            "--master", "--processes", "4", "--disable-logging", "--wsgi-file",
            setting.fill_in("application.py", tag)]


def uwsgi_unix(setting, tag):
    command = uwsgi(setting, tag)
    command[command.index("--http-socket") + 1] = str(setting.socket)
    return command


def node(setting, tag):
    return ["node", str(build.DAEMONS / "server.js"), str(setting.port), tag]


def node_cluster(policy):
    """The connections, or the listening socket, are the primary's and are sent to its workers."""
    def command(setting, tag):
        return ["node", str(build.DAEMONS / "cluster.js"), str(setting.port), tag, policy]
    return command


def http_server(setting, tag):
    directory = setting.directory / tag
    directory.mkdir(exist_ok=True)
    (directory / "index.html").write_text(f"GEN {tag} http.server\n")
    return ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory",
            str(directory), str(setting.port)]


def vsftpd(setting, tag):
    (setting.directory / "empty").mkdir(exist_ok=True)  # its service makes one in /run
    return ["vsftpd", setting.fill_in("vsftpd.conf", tag)]


def sshd(setting, tag):
    key = setting.directory / "host_key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its service would
    return ["/usr/sbin/sshd", "-D", "-e", "-f", setting.fill_in("sshd_config", tag)]


def redis_load(setting):
    return {"send": r"INFO server\r\n", "until": r"\r\n\r\n", "expect_prefix": "$",
            "tag_after": f"config_file:{setting.directory}/", "tag_before": "-redis.conf"}


def memcached_load(setting):
    return {"send": r"stats settings\r\n", "until": r"END\r\n", "expect_prefix": "STAT ",
            "tag_after": "STAT maxconns ", "tag_before": r"\r"}


@dataclasses.dataclass(frozen=True)
class Daemon:
    name: str
    command: Callable
    load: Callable = lambda setting: {"mode": "http"}
    run: tuple = ()
    rate: int = 600
    persistent: int = 4
    tag: Callable = lambda tag: tag  # as it is seen in the answers
    unix: bool = False


DAEMONS = [
    Daemon("nginx", nginx),
    Daemon("nginx-daemonised", nginx_daemonised),
    Daemon("nginx-reuseport", nginx_reuseport),
    Daemon("nginx-unix", nginx_unix, unix=True),
    Daemon("redis", redis, redis_load),
    Daemon("redis-unix", redis_unix, redis_load, unix=True),
    Daemon("memcached", memcached, memcached_load, tag=lambda tag: f"100{tag[1:]}"),
    Daemon("memcached-unix", memcached_unix, memcached_load, tag=lambda tag: f"100{tag[1:]}",
           unix=True),
    Daemon("haproxy", haproxy),
    Daemon("haproxy-master-worker", haproxy_master_worker),
    Daemon("haproxy-unix", haproxy_unix, unix=True),
    # SIGTERM makes it reload
    Daemon("uwsgi", uwsgi, run=("--stop-signal=QUIT",), persistent=0),
    Daemon("uwsgi-unix", uwsgi_unix, run=("--stop-signal=QUIT",), persistent=0, unix=True),
    Daemon("node", node),
    Daemon("node-cluster", node_cluster("rr")),
    Daemon("node-cluster-shared", node_cluster("none")),
    # A thread for each connection, and a queue of five
    Daemon("http.server", http_server, rate=300, persistent=0),
    # A process in namespaces of its own for each connection
    Daemon("vsftpd", vsftpd, lambda setting: {
        "mode": "banner", "until": r"\r\n", "expect_prefix": "220 ", "farewell": r"QUIT\r\n",
        "persistent_send": r"NOOP\r\n"}, rate=100),
    # A program executed anew for each connection
    Daemon("sshd", sshd, lambda setting: {
        "mode": "banner", "until": r"\r\n", "expect_prefix": "SSH-2.0-OpenSSH"}, rate=40),
]


@pytest.mark.parametrize("daemon", DAEMONS, ids=lambda daemon: daemon.name)
def test_five_upgrades_lose_nothing(moult, load, directory, port, daemon):
    setting = Setting(directory, port)
    instance = moult(daemon.name).run(*daemon.run, command=daemon.command(setting, "g1"))
    address = f"unix:{setting.socket}" if daemon.unix else f"127.0.0.1:{port}"
    client = load(address, rate=daemon.rate, persistent=daemon.persistent,
                  persistent_every=50, **daemon.load(setting))
    client.wait(lambda report: report["answered"] >= 30 and
                report["persistent"]["answered"] >= daemon.persistent)
    old_pids = {process.pid for process in daemon_processes(instance, client)}
    switched = []
    for number, tag in enumerate(TAGS[1:], 2):
        switched.append(instance.upgrade(command=daemon.command(setting, tag)).instant)
        if number == 2 and daemon.persistent:
            hold_across_one_upgrade(instance, client, daemon)
        else:
            client.renew()
        instance.wait_gone(number - 1, deadline=20)
        now = {process.pid for process in daemon_processes(instance, client)}
        assert now and not now & old_pids, instance.log()
        old_pids = now
    client.wait_answers(30, daemon.tag("g6"))
    result = client.stop()
    assert_nothing_lost(result)
    assert_switches(result, [daemon.tag(tag) for tag in TAGS], switched)
    status = instance.status()
    if daemon.unix:
        assert [row["address"] for row in status["listeners"]] == [address]
        assert os.listdir(setting.socket.parent) == ["socket"]
    assert (status["upgrades"]["completed"], status["upgrades"]["failed"]) == (5, 0)
    assert [g["id"] for g in status["generations"]] == [6]
    instance.stop()
    assert not processes.descendants(), instance.log()


def hold_across_one_upgrade(instance, client, daemon):
    """The old generation serves the connections it has, and ends when they end, not before."""
    before = client.report().persistent_tags[daemon.tag("g1")]
    assert before["open"] == daemon.persistent
    if daemon.name != "sshd":  # which waits for a key exchange and says no more
        client.wait(lambda report: report.persistent_tags[daemon.tag("g1")]["answered"] >=
                    before["answered"] + 3 * daemon.persistent)
    instance.wait_generation(1, lambda old: old and old["connections"] == daemon.persistent)
    assert instance.generation(1)["state"] == "draining"
    client.renew()


def daemon_processes(instance, client):
    """All processes but the launcher, its keepers, and the load client."""
    ours = {str(build.MOULT), str(build.LOAD)}
    return [process for process in processes.descendants()
            if process.command[:1] and process.command[0] not in ours
            and process.pid != os.getpid()]


@pytest.mark.parametrize("spoil", ["syntax", "missing", "port"])
def test_a_bad_configuration_of_nginx_is_a_non_event(moult, load, directory, port, spoil):
    """It exits with an error of its own; the error is in the log, the service goes on."""
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
