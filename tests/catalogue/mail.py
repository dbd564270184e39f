# SPDX-License-Identifier: MIT
"""Mail servers."""

import shutil

from catalogue.daemon import Daemon


def dovecot_prepare(setting):
    mail = setting.directory / "mail"
    mail.mkdir()
    shutil.chown(mail, "mail", "mail")


def dovecot(setting, tag):
    return ["dovecot", "-F", "-c", setting.fill_in("dovecot.conf", tag)]


def dovecot_load(setting):
    """A session each: the login is another process than the mailbox, which is sent the connection."""
    return {"send": r"a LOGIN user secret\r\nb SELECT INBOX\r\n", "until": "b OK",
            "expect_prefix": "* OK ", "farewell": r"c LOGOUT\r\n"}


DAEMONS = [
    Daemon("dovecot, IMAP", ("dovecot-imapd",),
           "master that executes a program for each service, over UNIX sockets",
           dovecot, dovecot_prepare,
           load=dovecot_load, rate=20, persistent=0,
           half=(b"a LOGIN user secret\r\nb SELE", b"CT INBOX\r\nc LOGOUT\r\n"),
           answer=b"c OK",
           log=lambda setting: str(setting.directory / "dovecot.log")),
]
