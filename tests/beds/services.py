# SPDX-License-Identifier: MIT
"""The services of scripts/services: Debian's own units, and what puts them under moult."""

import dataclasses

HTTP = {"mode": "http", "tag_after": "HTTP/1.1 ", "tag_before": " "}
# A question over TCP for gen.bed, whose address is 10.9.8.7.
DNS = {"send": r"\x00\x19\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
               r"\x03gen\x03bed\x00\x00\x01\x00\x01",
       "until": r"\x0a\x09\x08\x07", "tag_after": r"\x03", "tag_before": r"\x03"}


@dataclasses.dataclass(frozen=True)
class Service:
    """One row of the table."""

    unit: str  # without ".service"
    address: str
    load: dict  # options of the load client, beside the rate
    config: str  # a file of its configuration ...
    bad: str  # ... and a line with which the program does not start
    dropin: str  # lines of [Service]; @MOULT@ is `moult run --name=UNIT` with its options
    package: str = ""  # what is installed again; "": named like the unit
    setup: str = ""  # shell commands before the first start
    rate: int = 100


def start(command, *options):
    return "\n".join(["ExecStart=", f"ExecStart=@MOULT@ {' '.join(options)} -- {command}"])


SERVICES = (
    Service("nginx", "127.0.0.1:80", HTTP, "/etc/nginx/nginx.conf", "no_such_word;",
            "PIDFile=\nExecStop=\n" +
            start("/usr/sbin/nginx -g 'daemon off; master_process on;'", "--aside=/run/nginx.pid")),
    Service("redis-server", "127.0.0.1:6379",
            {"send": r"PING\r\n", "until": r"\r\n", "tag_after": "+", "tag_before": r"\r"},
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
)
