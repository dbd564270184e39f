# SPDX-License-Identifier: MIT
"""Super-servers, and services of all other kinds."""

import os
import shutil
import subprocess

from catalogue.daemon import Daemon
from harness import dns, packets, tftp
from harness.programs import program

LINES = {"mode": "request"}  # GEN TAG and the line that was sent


def service(setting, tag):
    return setting.fill_in("line-service.sh", tag)


def without_configuration(daemon, setting):
    """For programs that overlook options they do not know."""
    command = daemon.command(setting, "bad")
    for path in setting.directory.glob("bad-*.*"):
        path.unlink()
    return command


# ---- super-servers ----


def xinetd(setting, tag):
    return ["/usr/sbin/xinetd", "-dontfork", "-stayalive", "-pidfile",
            str(setting.directory / "pid"), "-f",
            setting.fill_in("xinetd.conf", tag, SERVICE=service(setting, tag))]


def transfers(setting, tag):
    directory = setting.directory / tag
    directory.mkdir(exist_ok=True)
    (directory / "file").write_bytes(tftp.content(tag))
    return directory


def xinetd_wait(setting, tag):
    return ["/usr/sbin/xinetd", "-dontfork", "-stayalive", "-pidfile",
            str(setting.directory / "pid"), "-f",
            setting.fill_in("xinetd-wait.conf", tag, TRANSFERS=transfers(setting, tag))]


def inetd(setting, tag):
    return ["/usr/sbin/inetd", "-i", setting.fill_in(
        "inetd.conf", tag, SERVICE=service(setting, tag))]


def inetd_wait(setting, tag):
    return ["/usr/sbin/inetd", "-i", setting.fill_in(
        "inetd-wait.conf", tag, TRANSFERS=transfers(setting, tag))]


def socat(setting, tag):
    return ["socat", f"TCP-LISTEN:{setting.port},bind=127.0.0.1,reuseaddr,fork,backlog=128",
            f"EXEC:/bin/sh {service(setting, tag)}"]


def socat_unix(setting, tag):
    return ["socat", f"UNIX-LISTEN:{setting.socket},fork,unlink-early,backlog=128",
            f"EXEC:/bin/sh {service(setting, tag)}"]


# ---- files ----


def rsync(setting, tag):
    (setting.directory / "files").mkdir(exist_ok=True)
    return ["rsync", "--daemon", "--no-detach",
            f"--config={setting.fill_in('rsyncd.conf', tag, MOTD=setting.fill_in('motd', tag))}"]


def rsync_background(setting, tag):
    return [word for word in rsync(setting, tag) if word != "--no-detach"]


FTP = {"mode": "banner", "until": r"\r\n", "expect_prefix": "220", "farewell": r"QUIT\r\n",
       "persistent_send": r"NOOP\r\n"}


def proftpd(setting, tag):
    return ["/usr/sbin/proftpd", "-n", "-c", setting.fill_in("proftpd.conf", tag)]


def pure_ftpd(setting, tag):
    return ["/usr/sbin/pure-ftpd", "-S", f"127.0.0.1,{setting.port}", "-e", "-H", "-c", "200", "-C",
            "200", "-g", str(setting.directory / "pid"), "-F", setting.fill_in("motd", tag)]


RSYNC = {"mode": "request", "send": r"@RSYNCD: 31.0\n#list\n", "until": r"@RSYNCD: EXIT\n",
         "expect_prefix": "@RSYNCD: "}
RSYNC_HALF = {"half": (b"@RSYNCD: 31.0\n", b"#list\n"), "answer": b"GEN @TAG@ motd"}


def file_of(setting, name):
    return str(setting.directory / name)


# ---- logins ----


def dropbear_key(setting):
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", file_of(setting, "key")], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def dropbear(setting, tag):
    """The banner is shown when a client begins to log in."""
    return ["dropbear", "-F", "-E", "-r", file_of(setting, "key"), "-P", file_of(setting, "pid"),
            "-b", setting.fill_in("motd", tag), "-p", f"127.0.0.1:{setting.port}"]


def dropbear_background(setting, tag):
    return [word for word in dropbear(setting, tag) if word not in ("-F", "-E")]


def ssh(host, port, number):
    """It is not let in, but told who does not."""
    return ["sh", "-c", f"ssh -F none -p {port} -o StrictHostKeyChecking=no -o BatchMode=yes "
            f"-o UserKnownHostsFile=/dev/null -o PreferredAuthentications=none nobody@{host}; "
            "test $? = 255"]


# ---- names, time, addresses ----


def named(setting, tag):
    return ["/usr/sbin/named", "-g", "-n", "2", "-c", setting.fill_in(
        "named.conf", tag, ZONE=setting.fill_in("named.zone", tag))]


def directory_of(setting, tag):
    directory = setting.directory / tag
    directory.mkdir(exist_ok=True)
    return directory


def knot(setting, tag):
    directory_of(setting, tag)
    return ["/usr/sbin/knotd", "-c", setting.fill_in(
        "knot.conf", tag, ZONE=setting.fill_in("named.zone", tag))]


def pdns(setting, tag):
    """Its configurations are found by name, in a directory."""
    directory = directory_of(setting, tag)
    zones = setting.fill_in("pdns-zones.conf", tag, ZONE=setting.fill_in("named.zone", tag))
    shutil.move(setting.fill_in("pdns.conf", tag, ZONES=zones), directory / "pdns.conf")
    return ["/usr/sbin/pdns_server", f"--config-dir={directory}", "--guardian=no", "--daemon=no"]


def dnsdist(setting, tag):
    return ["dnsdist", "--supervised", "--disable-syslog", "-C", setting.fill_in(
        "dnsdist.conf", tag, LENGTH=f"{len('GEN ' + tag):03d}")]


def number_of(tag, base):
    """For what can only have a number of its own."""
    return base + int(tag[1:]) if tag[1:].isdigit() else base


def chrony(setting, tag):
    return ["/usr/sbin/chronyd", "-x", "-d", "-f", setting.fill_in(
        "chrony.conf", tag, NUMBER=number_of(tag, 1))]


def chrony_confined(setting, tag):
    """With its own seccomp filter, of the level that kills it for a call that it does not expect."""
    return [*chrony(setting, tag), "-F", "1"]


def turnserver(setting, tag):
    return ["turnserver", "-c", setting.fill_in("turnserver.conf", tag)]


# ---- messages ----


def mosquitto(setting, tag):
    return ["mosquitto", "-c", setting.fill_in("mosquitto.conf", tag,
                                               NUMBER=number_of(tag, 1000))]


def ngircd(setting, tag):
    return ["ngircd", "-n", "-f", setting.fill_in("ngircd.conf", tag)]


def prosody(setting, tag):
    plugins = setting.directory / tag
    plugins.mkdir(exist_ok=True)
    (plugins / "mod_gen.lua").write_text(
        (setting.directory / setting.fill_in("mod_gen.lua", tag)).read_text())
    os.chown(setting.directory, 0, 0)
    return ["prosody", "-F", "--config", setting.fill_in("prosody.cfg.lua", tag, PLUGINS=plugins)]


def icecast(setting, tag):
    root = setting.directory / tag
    root.mkdir(exist_ok=True)
    (root / "gen.txt").write_text(f"GEN {tag} icecast\n")
    return ["icecast2", "-c", setting.fill_in("icecast.xml", tag, ROOT=root)]


# ---- what watches and counts ----


def snmpd(setting, tag):
    return ["/usr/sbin/snmpd", "-f", "-Lf", file_of(setting, "log"), "-C", "-c",
            setting.fill_in("snmpd.conf", tag), "-p", file_of(setting, "pid"), "-I",
            "-smux"]


def freeradius(setting, tag):
    configuration = setting.directory / f"{tag}-radius"
    configuration.mkdir(exist_ok=True)
    path = setting.fill_in("radiusd.conf", tag)
    (configuration / "radiusd.conf").write_text(open(path).read())
    (configuration / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    return ["freeradius", "-f", "-d", str(configuration), "-n", "radiusd"]


def zabbix_agent(setting, tag):
    return ["/usr/sbin/zabbix_agentd", "-f", "-c", setting.fill_in("zabbix_agentd.conf", tag)]


def beanstalkd(setting, tag):
    return ["beanstalkd", "-l", "127.0.0.1", "-p", str(setting.port), "-z",
            str(number_of(tag, 1000))]


# ---- others ----


def ncat(setting, tag):
    return ["ncat", "--listen", "--keep-open", "127.0.0.1", str(setting.port), "--exec",
            f"/bin/sh {service(setting, tag)}"]


def smbd(setting, tag):
    (setting.directory / "lock").mkdir(exist_ok=True)
    (setting.directory / tag).mkdir(exist_ok=True)
    return ["/usr/sbin/smbd", "--foreground", "--no-process-group",
            f"--configfile={setting.fill_in('smb.conf', tag)}"]


def ask_volume(host, port, number):
    """The label of a share, as of a disk."""
    return ["smbclient", "-N", "-p", str(port), f"//{host}/files", "-c", "volume"]


def iperf3(setting, tag):
    """One test at a time; after each it closes its listener and binds it again."""
    return ["iperf3", "--server", "--bind", "127.0.0.1", "--port", str(setting.port),
            f"--timestamps=GEN {tag} "]


def iperf3_test(host, port, number):
    """A short test; one more where it is still busy with the last."""
    ask = f"iperf3 --client {host} --port {port} --bytes 1K --get-server-output"
    return ["sh", "-c", f"for n in 1 2 3 4 5; do {ask} && exit; sleep 0.1; done; exit 1"]


def distccd(setting, tag):
    """Its compiler puts its own name into what it compiles; the client's only preprocesses."""
    programs = setting.directory / tag
    programs.mkdir(exist_ok=True)
    compiler = programs / "c99"
    compiler.write_text("#!/bin/sh\nwhile [ $# -gt 1 ]; do\n[ \"$1\" != -o ] || out=$2\n"
                        f"shift\ndone\necho GEN {tag} compiler >\"$out\"\n")
    compiler.chmod(0o755)
    return ["env", f"PATH={programs}:/usr/bin:/bin", "distccd", "--no-detach", "--daemon",
            "--allow", "127.0.0.0/8", "--make-me-a-botnet", "--listen", "127.0.0.1", "--port",
            str(setting.port), "--jobs", "2", "--user", "nobody", "--log-level", "notice",
            "--log-file", file_of(setting, "at/log")]


def compile_far(host, port, number):
    return ["sh", "-c", f"cd /tmp && mkdir -p .distcc{number % 8} && "
            f"echo int x{number}\\; >d{number}.c && "
            f"DISTCC_HOSTS={host}:{port} DISTCC_FALLBACK=0 DISTCC_DIR=/tmp/.distcc{number % 8} "
            f"distcc c99 -c d{number}.c -o d{number}.o; cat d{number}.o; rm -f d{number}.*"]


def git_repositories(setting):
    for tag in ("g1", "g2", "g3", "g4", "g5", "g6", "bad"):
        directory = setting.directory / tag / "x.git"
        subprocess.run(["git", "init", "-q", "--bare", str(directory)], check=True)
        tree = subprocess.run(["git", "-C", str(directory), "mktree"], check=True, input=b"",
                              capture_output=True).stdout.strip().decode()
        commit = subprocess.run(
            ["git", "-C", str(directory), "-c", "user.name=x", "-c", "user.email=x@x",
             "commit-tree", "-m", "x", tree], check=True, capture_output=True).stdout.strip()
        subprocess.run(["git", "-C", str(directory), "update-ref", f"refs/heads/gen/{tag}",
                        commit.decode()], check=True)


def git_daemon(setting, tag):
    return ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1",
            f"--port={setting.port}", f"--base-path={setting.directory / tag}",
            f"--pid-file={setting.directory / 'pid'}"]


def ls_remote(host, port, number):
    return ["sh", "-c", f"git ls-remote git://{host}:{port}/x.git | sed s,refs/heads/gen/,GEN\\ ,"]


def pid_file(setting):
    return str(setting.directory / "pid")


ASIDE = "`--aside=PID-FILE`"


def aside(setting):
    """A version that fails has written it, or cannot while it is locked."""
    return (f"--aside={pid_file(setting)}",)


def at_pid(setting):
    return str(setting.directory / "at" / "pid")


def log(setting):
    return str(setting.directory / "log")


DAEMONS = [
    Daemon("xinetd", ("xinetd",), "a program for each connection", xinetd, place="inetd",
           load=lambda setting: LINES, rate=60, half=(b"hel", b"lo\n"), answer=b"GEN @TAG@ hello",
           failing=without_configuration, run=aside, notes=ASIDE, pid_file=pid_file,
           log=lambda setting: str(setting.directory / "xinetd.log")),
    Daemon("xinetd, wait", ("xinetd", "tftpd-hpa"), "passes its UDP socket to in.tftpd",
           xinetd_wait, place="inetd", questions=(tftp.Transfer,), rate=15,
           failing=without_configuration, run=aside, notes=ASIDE, pid_file=pid_file),
    Daemon("openbsd-inetd", ("openbsd-inetd",), "a program for each connection", inetd,
           place="inetd",
           load=lambda setting: LINES, rate=60, half=(b"hel", b"lo\n"), answer=b"GEN @TAG@ hello"),
    Daemon("openbsd-inetd, wait", ("openbsd-inetd", "tftpd-hpa"),
           "passes its UDP socket to in.tftpd", inetd_wait, place="inetd",
           questions=(tftp.Transfer,), rate=15),
    Daemon("socat, TCP", ("socat",), "a process and a program for each connection", socat,
           load=lambda setting: LINES, rate=60, half=(b"hel", b"lo\n"), answer=b"GEN @TAG@ hello"),
    Daemon("socat, UNIX", ("socat",), "a process and a program for each connection", socat_unix,
           address=lambda setting: f"unix:{setting.socket}", load=lambda setting: LINES, rate=60,
           half=(b"hel", b"lo\n"), answer=b"GEN @TAG@ hello",
           sockets=lambda setting: (setting.socket,)),
    Daemon("rsync", ("rsync",), "a process for each connection", rsync,
           load=lambda setting: RSYNC, rate=100, persistent=0, **RSYNC_HALF,
           run=aside, notes=ASIDE, pid_file=pid_file, log=log),
    Daemon("rsync, in the background", ("rsync",), "a process for each connection",
           rsync_background, load=lambda setting: RSYNC, rate=100, persistent=0, **RSYNC_HALF,
           run=aside, notes=ASIDE, pid_file=pid_file, log=log),
    Daemon("proftpd", ("proftpd-core",), "a process for each connection", proftpd,
           place="ftp-server",
           load=lambda setting: FTP, rate=30, pid_file=pid_file),
    Daemon("pure-ftpd", ("pure-ftpd",), "a process for each connection", pure_ftpd,
           place="ftp-server",
           load=lambda setting: FTP, rate=50, pid_file=pid_file),
    Daemon("dropbear", ("dropbear-bin", "openssh-client"), "a process for each connection",
           dropbear, dropbear_key, questions=(program(ssh),), rate=10, pid_file=pid_file),
    Daemon("dropbear, in the background", ("dropbear-bin", "openssh-client"),
           "a process for each connection", dropbear_background, dropbear_key,
           questions=(program(ssh),), rate=10, pid_file=pid_file),
    Daemon("named", ("bind9",), "threads, libuv", named, questions=(dns.Udp, dns.Udp, dns.Tcp),
           pid_file=pid_file),
    Daemon("knot", ("knot",), "threads, epoll", knot,
           questions=(dns.Udp, dns.Udp, dns.Tcp),
           notes="a directory for each generation: it locks its database"),
    Daemon("pdns", ("pdns-server", "pdns-backend-bind"), "threads, poll; SO_REUSEPORT", pdns,
           questions=(dns.Udp, dns.Udp, dns.Tcp), rate=200),
    Daemon("dnsdist", ("dnsdist",), "threads, SO_REUSEPORT", dnsdist,
           questions=(dns.Udp, dns.Udp, dns.Tcp), rate=200),
    Daemon("chrony", ("chrony",), "one process, select", chrony, questions=(packets.Ntp,),
           run=aside, notes=ASIDE, pid_file=pid_file),
    Daemon("chrony, `-F 1`", ("chrony",), "the same, behind a seccomp filter", chrony_confined,
           questions=(packets.Ntp,), run=aside, notes=ASIDE, pid_file=pid_file, fast=True),
    Daemon("coturn", ("coturn",), "threads with sockets of their own, libevent", turnserver,
           questions=(packets.TurnUdp, packets.TurnTcp), rate=200, pid_file=pid_file),
    Daemon("mosquitto", ("mosquitto",), "one process, epoll", mosquitto,
           questions=(packets.Mqtt,), pid_file=pid_file,
           notes="each generation has its own subscriptions and sessions"),
    Daemon("ngircd", ("ngircd",), "one process, epoll", ngircd,
           load=lambda setting: {"mode": "request", "send": r"MOTD\r\n", "until": r"\r\n",
                                 "expect_prefix": ":", "tag_after": ":",
                                 "tag_before": ".irc.test 451", "farewell": r"QUIT\r\n"},
           half=(b"MO", b"TD\r\n"), answer=b"@TAG@.irc.test 451", rate=100,
           notes="each generation has its own channels"),
    Daemon("prosody", ("prosody",), "one process, epoll", prosody,
           load=lambda setting: {
               "mode": "request", "until": "</stream:features>",
               "send": "<stream:stream to='test' xmlns='jabber:client' version='1.0' "
                       "xmlns:stream='http://etherx.jabber.org/streams'>",
               "farewell": "</stream:stream>"},
           half=(b"<stream:stream to='test' xmlns='jabber:client' ver",
                 b"sion='1.0' xmlns:stream='http://etherx.jabber.org/streams'>"),
           answer=b"GEN @TAG@ prosody", persistent=0, rate=60, failing=without_configuration,
           log=log, notes="no `pidfile` in its configuration: it would lock the file"),
    Daemon("icecast2", ("icecast2",), "threads, poll", icecast,
           load=lambda setting: {"mode": "http", "send": r"GET /gen.txt HTTP/1.1\r\n"
                                 r"Host: localhost\r\nConnection: close\r\n\r\n"},
           persistent=0, rate=100, half=(b"GET /gen.txt HT", b"TP/1.0\r\n\r\n"),
           answer=b"GEN @TAG@ icecast", pid_file=at_pid, failing=without_configuration,
           log=lambda setting: str(setting.directory / "at" / "access.log")),
    Daemon("snmpd", ("snmpd",), "one process, select", snmpd, questions=(packets.Snmp,),
           failing=lambda daemon, setting: [*daemon.command(setting, "bad"), "udp:203.0.113.1:1"],
           pid_file=pid_file, rate=200),
    Daemon("freeradius", ("freeradius",), "threads, select", freeradius,
           questions=(packets.Radius,), rate=100, log=log),
    Daemon("zabbix-agent", ("zabbix-agent",), "processes that wait in select", zabbix_agent,
           questions=(packets.Zabbix,), rate=50,
           notes="a pid file for each generation: it locks the file",
           log=lambda setting: str(setting.directory / "at" / "log")),
    Daemon("beanstalkd", ("beanstalkd",), "one process, epoll", beanstalkd,
           load=lambda setting: {"mode": "request", "send": r"stats\r\n", "until": r"\n\r\n",
                                 "expect_prefix": "OK ", "tag_after": "max-job-size: ",
                                 "tag_before": r"\n", "farewell": r"quit\r\n"},
           tag=lambda tag: str(number_of(tag, 1000)), half=(b"sta", b"ts\r\n"),
           answer=b"max-job-size: @TAG@\n", notes="each generation has its own queues"),
    Daemon("ncat", ("ncat",), "a process and a program for each connection", ncat,
           load=lambda setting: LINES, rate=30, half=(b"hel", b"lo\n"), answer=b"GEN @TAG@ hello"),
    Daemon("git daemon", ("git",), "a program for each connection", git_daemon, git_repositories,
           questions=(program(ls_remote),), rate=10, pid_file=pid_file),
    Daemon("iperf3", ("iperf3",), "one process, binds again after each client", iperf3,
           questions=(program(iperf3_test),), rate=4),
    Daemon("distcc", ("distcc",), "processes that all wait in accept", distccd,
           questions=(program(compile_far),), rate=10,
           log=lambda setting: str(setting.directory / "at" / "log")),
    Daemon("smbd", ("samba", "smbclient"), "a process for each connection, epoll", smbd,
           questions=(program(ask_volume),), rate=3,
           notes="a pid directory for each generation: it locks the file there"),
]
