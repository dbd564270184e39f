# SPDX-License-Identifier: MIT
"""What carries messages: logs, calls, chats and jobs."""

from catalogue.daemon import Daemon
from catalogue.services import (ASIDE, aside, at_pid, directory_of, file_of, log, number_of,
                                pid_file, without_configuration)
from harness import messages


def at_log(setting):
    return file_of(setting, "at/log")


# ---- logs ----


def rsyslog(setting, tag):
    return ["rsyslogd", "-n", "-i", file_of(setting, "pid"), "-f", setting.fill_in(
        "rsyslog.conf", tag, ANSWERER=setting.fill_in("answerer.sh", tag))]


# ---- calls ----


def kamailio(setting, tag):
    place = directory_of(setting, tag)
    return ["kamailio", "-DD", "-E", "-m", "16", "-M", "2", "-Y", str(place),
            "-P", file_of(setting, "pid"), "-f", setting.fill_in("kamailio.cfg", tag)]


def mumble(setting, tag):
    return ["murmurd", "-fg", "-ini", setting.fill_in(
        "mumble-server.ini", tag, NUMBER=number_of(tag, 1000))]


# ---- chats ----


def inspircd(setting, tag):
    return ["inspircd", "--nofork", "--runasroot", "--config",
            setting.fill_in("inspircd.conf", tag)]


# ---- jobs ----

LEVELS = {"g1": "FATAL", "g2": "ALERT", "g3": "CRITICAL", "g4": "ERROR", "g5": "WARNING"}


def gearmand(setting, tag):
    """It tells how much it says."""
    return ["gearmand", "--listen=127.0.0.1", f"--port={setting.port}", "--threads=2",
            f"--verbose={LEVELS.get(tag, 'FATAL')}", f"--log-file={at_log(setting)}",
            f"--pid-file={at_pid(setting)}"]


def nats(setting, tag):
    return ["nats-server", "-a", "127.0.0.1", "-p", str(setting.port), "-n", tag]


DAEMONS = [
    Daemon("rsyslog", ("rsyslog",), "threads; a program that it writes to", rsyslog,
           questions=(messages.SyslogUdp, messages.SyslogTcp), rate=60, run=aside,
           notes=ASIDE, pid_file=pid_file,
           place="system-log-daemon", log=log),
    Daemon("kamailio", ("kamailio",),
           "processes for UDP; others for TCP, to which connections are passed",
           kamailio, questions=(messages.SipUdp, messages.SipTcp), rate=60, run=aside,
           notes=ASIDE, pid_file=pid_file),
    Daemon("mumble-server", ("mumble-server",), "threads, Qt", mumble,
           questions=(messages.Mumble,), rate=60,
           failing=without_configuration),
    Daemon("inspircd", ("inspircd",), "one process, epoll", inspircd,
           load=lambda setting: {"mode": "request", "send": r"PING x\r\n", "until": r"\r\n",
                                 "expect_prefix": ":", "tag_after": ":",
                                 "tag_before": ".irc.test 451", "farewell": r"QUIT\r\n"},
           half=(b"PI", b"NG x\r\n"), answer=b"@TAG@.irc.test", rate=60, pid_file=pid_file,
           log=log, notes="each generation has its own channels"),
    Daemon("gearmand", ("gearman-job-server",), "threads, libevent", gearmand,
           load=lambda setting: {"mode": "request", "send": r"verbose\r\n", "until": r"\n",
                                 "expect_prefix": "OK ", "tag_after": "OK ", "tag_before": r"\n"},
           tag=lambda tag: LEVELS[tag], half=(b"verb", b"ose\r\n"), answer=b"OK @TAG@",
           pid_file=at_pid,
           notes="each generation has its own queues"),
    Daemon("nats-server", ("nats-server",), "Go", nats, refused="is written in Go",
           load=lambda setting: {"mode": "banner", "until": r"\r\n", "expect_prefix": "INFO ",
                                 "tag_after": r"server_name\":\"", "tag_before": r"\""},
           persistent=0, rate=60),
]
