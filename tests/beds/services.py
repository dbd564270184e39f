# SPDX-License-Identifier: MIT
"""The services of scripts/services: Debian's own units, how they are asked, and how they fail."""

import dataclasses

HTTP = {"mode": "http", "tag_after": "HTTP/1.1 ", "tag_before": " ", "persistent_every": 1000}
# A question over TCP for gen.bed, whose address is 10.9.8.7.
DNS = {"send": r"\x00\x19\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
               r"\x03gen\x03bed\x00\x00\x01\x00\x01",
       "until": r"\x0a\x09\x08\x07", "tag_after": r"\x03", "tag_before": r"\x03"}


@dataclasses.dataclass(frozen=True)
class Service:
    """One row of the table.  "252=A 257=B": a text that depends on the version of systemd."""

    unit: str  # without ".service"
    address: str
    load: dict  # options of the load client, beside the rate; those of HTTP ask now and then
    config: str  # a file of its configuration ...
    bad: str  # ... and a line with which the program does not start
    package: str = ""  # what is installed again; "": named like the unit
    setup: str = ""  # shell commands before the first start
    rate: int = 100
    tree: str = "services"  # the root file system, SUITE-services
    options: tuple = ()  # of `moult enable`

    def for_version(self, version):
        """The service on that systemd."""
        def choose(text):
            if not text.startswith("252="):
                return text
            return dict(part.split("=") for part in text.split())[version]
        return dataclasses.replace(self, **{field: choose(getattr(self, field))
                                            for field in ("unit", "config", "package")})


def banner(after, before, until=r"\r\n", **more):
    return {"mode": "banner", "until": until, "tag_after": after, "tag_before": before, **more}


def asked(question, after, before, until=r"\r\n", **more):
    return {"send": question, "until": until, "tag_after": after, "tag_before": before, **more}


def lines(path, *text):
    """A shell command that appends these lines."""
    return "printf '%s\\n' " + " ".join(f"'{line}'" for line in text) + f" >>{path}"


SERVICES = (
    Service("nginx", "127.0.0.1:80", HTTP, "/etc/nginx/nginx.conf", "no_such_word;"),
    # Its protected mode answers 127.0.0.1 alone.
    Service("redis-server", "127.0.0.1:6379", asked(r"PING\r\n", "+", r"\r", sources=0),
            "/etc/redis/redis.conf", "no-such-word 1"),
    Service("memcached", "127.0.0.1:11211", asked(r"version\r\n", "VERSION ", r"\r"),
            "/etc/memcached.conf", "--no-such-option"),
    Service("haproxy", "127.0.0.1:8080", HTTP, "/etc/haproxy/haproxy.cfg", "no such word",
            setup=lines("/etc/haproxy/haproxy.cfg", "frontend bed", " bind 127.0.0.1:8080",
                        " http-request return status 200 content-type text/plain string bed")),
    Service("apache2", "127.0.0.1:80", HTTP, "/etc/apache2/apache2.conf", "NoSuchWord",
            setup=lines("/etc/apache2/apache2.conf", "ServerName bed")),
    Service("ssh", "127.0.0.1:22", banner("SSH-2.0-", " ", r"\n"), "/etc/ssh/sshd_config",
            "NoSuchWord yes", package="openssh-server", rate=30,
            setup=lines("/etc/ssh/sshd_config", "MaxStartups 10000", "LoginGraceTime 0") +
            "; ! /usr/sbin/sshd -t -o PerSourcePenalties=no 2>/dev/null || " +
            lines("/etc/ssh/sshd_config", "PerSourcePenalties no")),
    Service("dnsmasq", "127.0.0.1:53", DNS, "/etc/dnsmasq.conf", "no-such-word", rate=50,
            setup=lines("/etc/dnsmasq.conf", "no-resolv", "host-record=gen.bed,10.9.8.7")),
    Service("unbound", "127.0.0.1:53", DNS, "/etc/unbound/unbound.conf", "no-such-word: 1",
            # The trust anchor comes with a package that unbound only recommends.
            setup="rm -f /etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf; " +
            lines("/etc/unbound/unbound.conf", "server:", " incoming-num-tcp: 200",
                        " local-data: \"gen.bed. A 10.9.8.7\"")),
    Service("mosquitto", "127.0.0.1:1883",
            asked(r"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "", r"\x02", r"\x02\x00\x00"),
            "/etc/mosquitto/mosquitto.conf", "no_such_word 1", rate=50),
    Service("dovecot", "127.0.0.1:143", banner("* ", " "), "/etc/dovecot/dovecot.conf",
            "no_such_word = 1", package="dovecot-core", rate=20, tree="more"),
    Service("mariadb", "127.0.0.1:3306",  # its only host is localhost
            banner(r"\n", "-", r"mysql_native_password\x00", sources=0),
            "/etc/mysql/mariadb.conf.d/50-server.cnf", "[mysqld]\nno-such-word = 1",
            package="mariadb-server", tree="more", rate=50,
            setup=lines("/etc/mysql/mariadb.conf.d/50-server.cnf", "[mysqld]",
                        "max_connect_errors=1000000000", "skip-name-resolve")),
    Service("named", "127.0.0.1:53", DNS, "/etc/bind/named.conf", "no-such-word;",
            package="bind9", tree="more", rate=50,
            setup=lines("/etc/bind/db.bed", "$TTL 60", "@ SOA ns x 1 60 60 60 60", "@ NS ns",
                        "ns A 10.0.0.1", "gen A 10.9.8.7") + "; : >/etc/bind/named.conf; " +
            lines("/etc/bind/named.conf", "options { directory \"/var/cache/bind\"; "
                  "recursion no; minimal-responses yes; };",
                  "zone \"bed\" { type master; file \"/etc/bind/db.bed\"; };")),
    Service("252=postfix@- 257=postfix", "127.0.0.1:25",
            banner("ESMTP ", " ", farewell=r"QUIT\r\n"), "/etc/postfix/main.cf", "no such word",
            package="postfix", tree="more", rate=20,
            setup=lines("/etc/postfix/main.cf", "inet_interfaces = loopback-only",
                        "inet_protocols = ipv4", "smtpd_client_connection_count_limit = 0")),
    Service("252=postgresql@15-main 257=postgresql@17-main", "127.0.0.1:5432",
            asked(r"\x00\x00\x00\x10\x00\x03\x00\x00user\x00x\x00\x00", "SCRAM-", "-",
                  r"SCRAM-SHA-256\x00\x00", sources=0),  # pg_hba.conf knows 127.0.0.1 alone
            "252=/etc/postgresql/15/main/postgresql.conf "
            "257=/etc/postgresql/17/main/postgresql.conf", "no_such_word = 1",
            package="252=postgresql-15 257=postgresql-17", tree="more", rate=20),
    Service("vsftpd", "127.0.0.1:21", banner("(", ")", farewell=r"QUIT\r\n"),
            "/etc/vsftpd.conf", "no_such_word=1", tree="more", rate=20),
)
