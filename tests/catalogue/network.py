# SPDX-License-Identifier: MIT
"""Logins, files and names."""

import pathlib
import subprocess

from catalogue.daemon import Daemon
from harness import dns, tftp


def vsftpd(setting, tag):
    (setting.directory / "empty").mkdir(exist_ok=True)  # its service makes one in /run
    return ["vsftpd", setting.fill_in("vsftpd.conf", tag)]


def vsftpd_load(setting):
    del setting
    return {"mode": "banner", "until": r"\r\n", "expect_prefix": "220 ", "farewell": r"QUIT\r\n",
            "persistent_send": r"NOOP\r\n"}


def sshd_key(setting):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                    str(setting.directory / "host_key")], check=True)
    pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its service would


def sshd(setting, tag):
    return ["/usr/sbin/sshd", "-D", "-E", str(setting.directory / "sshd.log"), "-f",
            setting.fill_in("sshd_config", tag)]


def dnsmasq(*more):
    def command(setting, tag):
        return ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null",
                f"--pid-file={setting.directory}/dnsmasq.pid", "--no-resolv", "--no-hosts",
                f"--port={setting.port}", f"--txt-record=gen.test,GEN {tag}", *more]
    return command


def nsd(reuseport):
    def command(setting, tag):
        setting.fill_in("nsd.zone", tag)
        return ["/usr/sbin/nsd", "-d", "-c",
                setting.fill_in("nsd.conf", tag, REUSEPORT=reuseport)]
    return command


def unbound(setting, tag):
    return ["/usr/sbin/unbound", "-d", "-c", setting.fill_in("unbound.conf", tag)]


def tftpd(setting, tag):
    """No host is named: without a network it resolves none."""
    directory = setting.directory / tag
    directory.mkdir(exist_ok=True)
    (directory / "file").write_bytes(tftp.content(tag))
    return ["/usr/sbin/in.tftpd", "-4", "-L", "--address", f":{setting.port}", "--secure",
            str(directory)]


def pid_file(setting):
    return f"{setting.directory}/pid"


def no_such_user(daemon, setting):
    return [*daemon.command(setting, "bad"), "--user", "no-such-user"]


DNS = (dns.Udp, dns.Udp, dns.Tcp)

DAEMONS = [
    Daemon("sshd", ("openssh-server",), "a process executed anew for each connection", sshd,
           sshd_key, rate=30, load=lambda setting: {
               "mode": "banner", "until": r"\r\n", "expect_prefix": "SSH-2.0-OpenSSH"},
           pid_file=lambda setting: f"{setting.directory}/sshd.pid", fast=True),
    Daemon("vsftpd", ("vsftpd",), "a process in namespaces of its own for each connection", vsftpd,
           place="ftp-server",
           load=vsftpd_load, rate=20, half=(b"FEA", b"T\r\n"), answer=b"211 End", fast=True),
    Daemon("dnsmasq", ("dnsmasq-base",), "one process, a child for each TCP client", dnsmasq(),
           questions=DNS, pid_file=lambda setting: f"{setting.directory}/dnsmasq.pid", fast=True),
    Daemon("dnsmasq, `bind-interfaces`", ("dnsmasq-base",),
           "one process, a child for each TCP client",
           dnsmasq("--listen-address=127.0.0.1", "--bind-interfaces"), questions=DNS, fast=True),
    Daemon("unbound", ("unbound",), "threads with sockets of their own", unbound, questions=DNS,
           pid_file=pid_file, fast=True),
    Daemon("nsd", ("nsd",), "master, servers", nsd("no"), questions=DNS,
           pid_file=pid_file, fast=True),
    Daemon("nsd, `reuseport`", ("nsd",), "a socket for each server", nsd("yes"), questions=DNS,
           pid_file=pid_file, fast=True),
    Daemon("tftpd-hpa", ("tftpd-hpa",), "a process and a socket for each transfer", tftpd,
           questions=(tftp.Transfer,), rate=20, failing=no_such_user, fast=True),
]
