# SPDX-License-Identifier: MIT
"""Databases, key-value stores and directories."""

import pathlib
import shutil
import struct
import subprocess

from catalogue.daemon import Daemon, escaped


# ---- PostgreSQL ----

def postgresql_program(name):
    """The newest there is; they are not in PATH."""
    return str(max(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))


AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")


def postgresql_prepare(setting):
    data = setting.directory / "postgresql"
    data.mkdir()
    shutil.chown(data, "postgres", "postgres")
    subprocess.run([*AS_POSTGRES, postgresql_program("initdb"), "-D", str(data), "-A", "trust",
                    "--no-sync"], check=True, stdout=subprocess.DEVNULL)


def postgresql(setting, tag):
    """Its name is seen by clients; the socket's name in its directory is fixed."""
    return [*AS_POSTGRES, postgresql_program("postgres"),
            "-D", str(setting.directory / "postgresql"),
            "-c", f"cluster_name={tag}", "-c", "listen_addresses=127.0.0.1",
            "-c", f"port={setting.port}", "-c", f"unix_socket_directories={setting.socket.parent}"]


def postgresql_socket(setting):
    return str(setting.socket.parent / f".s.PGSQL.{setting.port}")


def postgresql_load(setting):
    """The start-up packet and a query in one go; it has answered when it is ready for more."""
    query = b"SELECT 'GEN ' || current_setting('cluster_name') || ' .'\0"
    parameters = b"user\0postgres\0database\0postgres\0\0"
    send = (struct.pack("!ii", len(parameters) + 8, 0x30000) + parameters +
            b"Q" + struct.pack("!i", len(query) + 4) + query)
    return {"send": escaped(send), "until": escaped(b"SELECT 1\0Z\0\0\0\5I"),
            "expect_prefix": "R", "sources": 0, "farewell": escaped(b"X\0\0\0\4")}


# ---- MariaDB ----

def mariadb_prepare(setting):
    data = setting.directory / "mariadb"
    data.mkdir()
    shutil.chown(data, "mysql", "mysql")
    subprocess.run(["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}",
                    "--auth-root-authentication-method=normal", "--skip-test-db"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def mariadb(setting, tag):
    return ["mariadbd", "--no-defaults", "--user=mysql",
            f"--datadir={setting.directory / 'mariadb'}", "--bind-address=127.0.0.1",
            f"--port={setting.port}", f"--socket={setting.socket}", f"--report-host={tag}",
            f"--pid-file={mariadb_pid_file(setting)}"]


def mariadb_pid_file(setting):
    return str(setting.directory / "mariadb" / "pid")


def mariadb_load(setting):
    """Log in and ask without waiting for what it says first; the answer ends with a row's end."""
    del setting

    def packet(number, data):
        return struct.pack("<I", len(data))[:3] + bytes([number]) + data
    # Long password, protocol 4.1, secure connection, authentication by plugin
    login = (struct.pack("<IIB23x", 0x88201, 1 << 24, 45) + b"root\0" + b"\0" +
             b"mysql_native_password\0")
    query = b"\3SELECT CONCAT('GEN ', @@report_host, ' .') AS t"
    return {"send": escaped(packet(1, login) + packet(0, query)),
            "until": escaped(b" .\5\0\0\5\xfe\0\0\2\0"), "sources": 0,
            "farewell": escaped(packet(0, b"\1"))}


def redis(setting, tag):
    return ["redis-server", setting.fill_in("redis.conf", tag)]


def redis_unix(setting, tag):
    return [*redis(setting, tag), "--port", "0", "--unixsocket", str(setting.socket)]


def redis_load(setting):
    return {"send": r"INFO server\r\n", "until": r"\r\n\r\n", "expect_prefix": "$",
            "tag_after": f"config_file:{setting.directory}/", "tag_before": "-redis.conf"}


def memcached(setting, tag):
    """The only number of ours in its answers is the limit of connections."""
    return ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(setting.port), "-t", "2",
            "-c", str(1000 + int(tag[1:]) if tag[1:].isdigit() else 1000)]


def memcached_unix(setting, tag):
    return [*memcached(setting, tag), "-s", str(setting.socket)]


def memcached_load(setting):
    del setting
    return {"send": r"stats settings\r\n", "until": r"END\r\n", "expect_prefix": "STAT ",
            "tag_after": "STAT maxconns ", "tag_before": r"\r"}


def at_socket(setting):
    return f"unix:{setting.socket}"


REDIS = Daemon(
    "redis", ("redis-server",), "one process, epoll", redis, load=redis_load, rate=300,
    half=(b"INFO ser", b"ver\r\n"), answer=b"@TAG@-redis.conf",
    log=lambda setting: str(setting.directory / "redis.log"),
    notes="a new generation starts without the data in memory", fast=True)
MEMCACHED = Daemon(
    "memcached", ("memcached",), "one process, 2 threads", memcached, load=memcached_load,
    rate=300, tag=lambda tag: f"100{tag[1:]}", half=(b"stats set", b"tings\r\n"),
    answer=b"STAT maxconns @TAG@\r", notes="a new generation starts without the data in memory", fast=True)


NO_OVERLAP = ("--no-overlap", "--kill-after=1m", "--ready=notify")

# ---- OpenLDAP ----

def slapd(setting, tag):
    return ["slapd", "-d", "0", "-h", f"ldap://127.0.0.1:{setting.port}",
            "-f", setting.fill_in("slapd.conf", tag)]


def element(tag, *content):
    content = b"".join(content)
    return bytes([tag, len(content)]) + content


def ldap_question():
    """What the server says of itself: namingContexts of the entry without a name."""
    return element(0x30, element(2, b"\1"), element(
        0x63, element(4), element(10, b"\0"), element(10, b"\0"), element(2, b"\0"),
        element(2, b"\0"), element(1, b"\0"), element(0x87, b"objectClass"),
        element(0x30, element(4, b"namingContexts"))))


def ldap_load(setting):
    """Two messages: the entry, and that this was all."""
    del setting
    done = element(0x65, element(10, b"\0"), element(4), element(4))
    return {"send": escaped(ldap_question()), "until": escaped(done), "expect_prefix": "0",
            "tag_after": "dc=", "tag_before": escaped(b"0\x0c\2\1\1e")}


DAEMONS = [
    REDIS,
    REDIS.but("redis, UNIX socket", command=redis_unix, address=at_socket,
              sockets=lambda setting: (setting.socket,)),
    MEMCACHED,
    MEMCACHED.but("memcached, UNIX socket", command=memcached_unix, address=at_socket,
                  sockets=lambda setting: (setting.socket,)),
    Daemon(
        name="PostgreSQL",
        packages=("postgresql-15",),
        model="a process per connection",
        command=postgresql,
        prepare=postgresql_prepare,
        load=postgresql_load,
        rate=12,
        persistent=0,
        run=(*NO_OVERLAP, "--stop-signal=INT"),
        sockets=lambda setting: (postgresql_socket(setting),),
        pid_file=lambda setting: str(setting.directory / "postgresql" / "postmaster.pid"),
        notes="`--no-overlap --stop-signal=INT`; sessions end with the old generation",
    ),
    Daemon(
        name="MariaDB",
        packages=("mariadb-server",),
        model="a thread per connection",
        command=mariadb,
        prepare=mariadb_prepare,
        load=mariadb_load,
        rate=100,
        persistent=0,
        run=NO_OVERLAP,
        sockets=lambda setting: (str(setting.socket),),
        pid_file=mariadb_pid_file,
        notes="`--no-overlap`; sessions end with the old generation",
    ),
    Daemon("slapd", ("slapd",), "one process, threads", slapd, load=ldap_load,
           half=(ldap_question()[:20], ldap_question()[20:]), answer=b"dc=@TAG@",
           pid_file=lambda setting: str(setting.directory / "slapd.pid")),
]
