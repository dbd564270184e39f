# SPDX-License-Identifier: MIT
"""The services of scripts/services: Debian's own units, and what puts them under moult."""

import dataclasses

HTTP = {"mode": "http", "tag_after": "HTTP/1.1 ", "tag_before": " ", "persistent_every": 1000}
# A question over TCP for gen.bed, whose address is 10.9.8.7.
DNS = {"send": r"\x00\x19\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
               r"\x03gen\x03bed\x00\x00\x01\x00\x01",
       "until": r"\x0a\x09\x08\x07", "tag_after": r"\x03", "tag_before": r"\x03"}


@dataclasses.dataclass(frozen=True)
class Service:
    """One row of the table."""

    unit: str  # without ".service"; several: by the version of systemd, "252=A 257=B"
    address: str
    load: dict  # options of the load client, beside the rate; those of HTTP ask now and then
    config: str  # a file of its configuration ...
    bad: str  # ... and a line with which the program does not start
    dropin: str = ""  # if there is no `moult enable`: lines of [Service]; @MOULT@ is `moult run ...`
    package: str = ""  # what is installed again; "": named like the unit
    setup: str = ""  # shell commands before the first start
    rate: int = 100
    tree: str = "services"

    def for_version(self, version):
        """The service on that systemd."""
        def choose(text):
            if not text.startswith("252="):
                return text
            return dict(part.split("=") for part in text.split())[version]
        return dataclasses.replace(self, **{field: choose(getattr(self, field))
                                            for field in ("unit", "config", "package")})


def start(command, *options):
    return "\n".join(["ExecStart=", f"ExecStart=@MOULT@ {' '.join(options)} -- {command}"])


SERVICES = (
    Service("nginx", "127.0.0.1:80", HTTP, "/etc/nginx/nginx.conf", "no_such_word;",
            "PIDFile=\nExecStop=\n" +
            start("/usr/sbin/nginx -g 'daemon off; master_process on;'", "--aside=/run/nginx.pid")),
    Service("redis-server", "127.0.0.1:6379",
            {"send": r"PING\r\n", "until": r"\r\n", "tag_after": "+", "tag_before": r"\r",
             "sources": 0},  # its protected mode answers 127.0.0.1 alone
            "/etc/redis/redis.conf", "no-such-word 1",
            "PIDFile=\nEnvironment=MOULT_RUNTIME_DIR=/run/redis\n"
            "RestrictAddressFamilies=AF_NETLINK\nExecPaths=/usr/local/bin/moult /usr/local/lib\n" +
            start("/usr/bin/redis-server /etc/redis/redis.conf --supervised no --daemonize no",
                  "--no-overlap", "--drain-timeout=1s", "--kill-after=5m")),
    Service("memcached", "127.0.0.1:11211",
            {"send": r"version\r\n", "until": r"\r\n", "tag_after": "VERSION ",
             "tag_before": r"\r"},
            "/etc/memcached.conf", "--no-such-option",
            "PIDFile=\nRestrictAddressFamilies=AF_NETLINK\n"
            "CapabilityBoundingSet=CAP_KILL CAP_SYS_PTRACE CAP_DAC_OVERRIDE\n" +
            start("/usr/share/memcached/scripts/systemd-memcached-wrapper /etc/memcached.conf",
                  "--aside=/run/memcached/memcached.pid")),
    Service("haproxy", "127.0.0.1:8080", HTTP, "/etc/haproxy/haproxy.cfg", "no such word",
            start("/usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE $EXTRAOPTS"),
            setup="printf '%s\\n' 'frontend bed' ' bind 127.0.0.1:8080' "
                  "' http-request return status 200 content-type text/plain string bed' "
                  ">>/etc/haproxy/haproxy.cfg"),
    Service("apache2", "127.0.0.1:80", HTTP, "/etc/apache2/apache2.conf", "NoSuchWord",
            "ExecStop=\n" + start("/usr/sbin/apachectl -DFOREGROUND -k start",
                                  "--aside=/run/apache2/apache2.pid"),
            setup="echo ServerName bed >>/etc/apache2/apache2.conf"),
    Service("ssh", "127.0.0.1:22",
            {"mode": "banner", "until": r"\n", "tag_after": "SSH-2.0-", "tag_before": " "},
            "/etc/ssh/sshd_config", "NoSuchWord yes",
            start("/usr/sbin/sshd -D $SSHD_OPTS", "--drain-timeout=infinity",
                  "--aside=/run/sshd.pid"),
            package="openssh-server", rate=30,
            setup="printf '%s\\n' 'MaxStartups 10000' 'LoginGraceTime 0' >>/etc/ssh/sshd_config; "
                  "! /usr/sbin/sshd -t -o PerSourcePenalties=no 2>/dev/null || "
                  "echo PerSourcePenalties no >>/etc/ssh/sshd_config"),
    Service("dnsmasq", "127.0.0.1:53", DNS, "/etc/dnsmasq.conf", "no-such-word",
            "PIDFile=\nExecStartPost=\nExecStop=\n" +
            start("/usr/share/dnsmasq/systemd-helper exec", "--aside=/run/dnsmasq/dnsmasq.pid"),
            setup="printf '%s\\n' no-resolv host-record=gen.bed,10.9.8.7 >>/etc/dnsmasq.conf",
            rate=50),
    Service("unbound", "127.0.0.1:53", DNS, "/etc/unbound/unbound.conf", "no-such-word: 1",
            start("/usr/sbin/unbound -d -p $DAEMON_OPTS", "--aside=/run/unbound.pid"),
            setup="printf '%s\\n' server: ' incoming-num-tcp: 200' "
                  "' local-data: \"gen.bed. A 10.9.8.7\"' >>/etc/unbound/unbound.conf"),
    Service("mosquitto", "127.0.0.1:1883",
            {"send": r"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "until": r"\x02\x00\x00",
             "tag_after": "", "tag_before": r"\x02"},
            "/etc/mosquitto/mosquitto.conf", "no_such_word 1",
            start("/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf"),
            rate=50),
    Service("dovecot", "127.0.0.1:143",
            {"mode": "banner", "until": r"\r\n", "tag_after": "* ", "tag_before": " "},
            "/etc/dovecot/dovecot.conf", "no_such_word = 1", package="dovecot-core", rate=20,
            tree="more"),
    Service("mariadb", "127.0.0.1:3306",
            {"mode": "banner", "until": r"mysql_native_password\x00", "tag_after": r"\n",
             "tag_before": "-"},
            "/etc/mysql/mariadb.conf.d/50-server.cnf", "[mysqld]\nno-such-word = 1",
            package="mariadb-server", tree="more", rate=50,
            setup="printf '%s\\n' '[mysqld]' max_connect_errors=1000000000 skip-name-resolve "
                  ">>/etc/mysql/mariadb.conf.d/50-server.cnf"),
    Service("named", "127.0.0.1:53", DNS, "/etc/bind/named.conf", "no-such-word;",
            package="bind9", tree="more", rate=50,
            setup="printf '%s\\n' '$TTL 60' '@ SOA ns x 1 60 60 60 60' '@ NS ns' 'ns A 10.0.0.1' "
                  "'gen A 10.9.8.7' >/etc/bind/db.bed; "
                  "printf '%s\\n' 'options { directory \"/var/cache/bind\"; recursion no; "
                  "minimal-responses yes; };' 'zone \"bed\" { type master; "
                  "file \"/etc/bind/db.bed\"; };' >/etc/bind/named.conf"),
    Service("252=postfix@- 257=postfix", "127.0.0.1:25",
            {"mode": "banner", "until": r"\r\n", "tag_after": "ESMTP ", "tag_before": " ",
             "farewell": r"QUIT\r\n"},
            "/etc/postfix/main.cf", "no such word", package="postfix", tree="more", rate=20,
            setup="printf '%s\\n' 'inet_interfaces = loopback-only' 'inet_protocols = ipv4' "
                  "'smtpd_client_connection_count_limit = 0' "
                  "'smtpd_client_connection_rate_limit = 0' >>/etc/postfix/main.cf"),
    Service("252=postgresql@15-main 257=postgresql@17-main", "127.0.0.1:5432",
            {"send": r"\x00\x00\x00\x10\x00\x03\x00\x00user\x00x\x00\x00",
             "until": r"SCRAM-SHA-256\x00\x00", "tag_after": "SCRAM-", "tag_before": "-"},
            "252=/etc/postgresql/15/main/postgresql.conf "
            "257=/etc/postgresql/17/main/postgresql.conf", "no_such_word = 1",
            package="252=postgresql-15 257=postgresql-17", tree="more", rate=20),
    Service("vsftpd", "127.0.0.1:21",
            {"mode": "banner", "until": r"\r\n", "tag_after": "(", "tag_before": ")",
             "farewell": r"QUIT\r\n"},
            "/etc/vsftpd.conf", "no_such_word=1", tree="more", rate=20),
)
