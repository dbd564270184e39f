# SPDX-License-Identifier: MIT
"""Mail servers."""

import shutil

from catalogue.daemon import Daemon, bad_configuration


def dovecot_prepare(setting):
    mail = setting.directory / "mail"
    mail.mkdir()
    shutil.chown(mail, "mail", "mail")


def dovecot(setting, tag):
    return ["dovecot", "-F", "-c", setting.fill_in("dovecot.conf", tag)]


def dovecot_load(setting):
    """A session each: one process takes the login, and sends the connection to another."""
    return {"send": r"a LOGIN user secret\r\nb SELECT INBOX\r\n", "until": "b OK",
            "expect_prefix": "* OK ", "farewell": r"c LOGOUT\r\n"}


def postfix(setting, tag):
    """Queue and locks are in the way of a second instance: each generation has its own."""
    place = setting.directory / f"{tag}-postfix"
    if not place.exists():
        place.mkdir()
        (place / "spool").mkdir()
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "incoming",
                     "private", "saved", "maildrop", "public", "hold", "trace"):
            (place / "spool" / name).mkdir(mode=0o700)
            shutil.chown(place / "spool" / name, "postfix", "postdrop")
        (place / "spool" / "public").chmod(0o710)
        (place / "spool" / "pid").mkdir()
        (place / "data").mkdir()
        shutil.chown(place / "data", "postfix")
    for name in ("main.cf", "master.cf"):
        shutil.move(setting.fill_in(f"postfix-{name}", tag), place / name)
    return ["/usr/lib/postfix/sbin/master", "-d", "-c", str(place)]


def exim_prepare(setting):
    place = setting.directory / "exim"
    place.mkdir()
    shutil.chown(place, "Debian-exim", "Debian-exim")


def exim(setting, tag):
    return ["exim4", "-bdf", "-C", setting.fill_in("exim.conf", tag)]


def smtp_load(setting):
    return {"mode": "banner", "until": r"\r\n", "expect_prefix": "220 ", "farewell": r"QUIT\r\n",
            "persistent_send": r"NOOP\r\n"}


SMTP_HALF = (b"EHLO client\r\nMAIL FROM:<a@localhost>\r\nRCPT TO:<b@local",
             b"host>\r\nDATA\r\nSubject: halves\r\n\r\nText\r\n.\r\nQUIT\r\n")


# Only one of them can be installed.
MTA = "mail-transport-agent"

DAEMONS = [
    Daemon("dovecot, IMAP", ("dovecot-imapd",),
           "master that executes its services",
           dovecot, dovecot_prepare,
           load=dovecot_load, rate=20, persistent=0,
           half=(b"a LOGIN user secret\r\nb SELE", b"CT INBOX\r\nc ID NIL\r\n"),
           answer=b'("name" "@TAG@")', notes="`base_dir` for each generation",
           log=lambda setting: str(setting.directory / "dovecot.log")),
    Daemon("postfix, SMTP", ("postfix",),
           "master that executes its services",
           postfix, load=smtp_load, rate=40,
           half=SMTP_HALF, answer=b"queued as", place=MTA,
           notes="`queue_directory` and `data_directory` for each generation",
           log=lambda setting: str(setting.directory / "postfix.log")),
    Daemon("exim, SMTP", ("exim4-daemon-light",), "a process per connection, set-uid root", exim,
           exim_prepare, load=smtp_load, rate=40, half=SMTP_HALF, answer=b"250 OK id=",
           failing=bad_configuration, place=MTA,
           pid_file=lambda setting: str(setting.directory / "exim" / "exim.pid"),
           log=lambda setting: str(setting.directory / "exim" / "mainlog")),
]
