# SPDX-License-Identifier: MIT
"""Socket options: a handed-over socket has those its generation has set, and no others."""

import socket
import struct

import pytest

from harness.build import program
from harness.network import ask, new_port
from harness.waiting import wait_until

# What is set, and what is read back if that differs
EARLY = {"keepalive": 1, "rcvbuf": 50000, "sndbuf": 70000, "nodelay": 1, "defer-accept": 1,
         "fastopen": 16, "keepidle": 77, "linger2": 9, "user-timeout": 4000, "tos": 16, "ttl": 33,
         "rcvtimeo": 5, "linger": 3, "congestion": "reno", "filter": 3, "maxseg": 1000,
         "window-clamp": 30000}
READ = {"rcvbuf": 100000, "sndbuf": 140000, "buf-lock": 3}


def spec(options, late=False):
    return "--model=" + ",".join(
        f"{'@' if late else ''}{name}={value}" for name, value in options.items())


def server(tag, port, *more):
    return [program("options"), "--tag", tag, f"--port={port}", *more]


def parse(line):
    return dict(word.split("=", 1) for word in line.split())


def report(port, host="127.0.0.1"):
    return parse(ask(port, host, b"report\n"))


def written(path, log):
    return parse(wait_until(lambda: path.exists() and path.read_text(), 10, log))


def assert_has(told, options):
    wanted = {name: str(value) for name, value in options.items()}
    assert {name: told[name] for name in wanted} == wanted


def available(name):
    """A congestion control other than the default."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return False
    return True


def settable():
    return {name: value for name, value in EARLY.items()
            if name != "congestion" or available(value)}


# ---- after the switch ----

@pytest.mark.parametrize("late", [False, True], ids=["before-bind", "after-listen"])
def test_socket_options_of_a_generation_hold_until_it_ends(moult, port, late):
    """As if the socket were its own.  If the successor does not set the option, it is unset
    again."""
    options = settable()
    instance = moult().run(command=server("g1", port))
    plain = report(port)
    instance.upgrade(command=server("g2", port, spec(options, late)))
    told = report(port)
    assert told["tag"] == "g2"
    assert_has(told, {**options, **READ})
    instance.upgrade(command=server("g3", port))
    told = report(port)
    assert told.pop("tag") == "g3" and told.pop("buf-lock") == "0"
    for name in ("pid", "tag", "buf-lock", "window-clamp"):
        plain.pop(name, told.pop(name, None))
    told = {name: told[name] for name in plain}
    assert told == plain
    instance.stop()


def test_a_first_generation_reads_the_options_that_it_reads_without_moult(moult, plain, port):
    options = settable()
    other = new_port()
    thing = plain(server("g1", other, spec(options)))
    thing.wait_listening(other)
    alone = report(other)
    instance = moult().run(command=server("g1", port, spec(options)))
    for _ in range(2):
        told = report(port)
        for name in set(alone) - {"pid", "name"}:
            assert told[name] == alone[name], name
        instance.upgrade()
    instance.stop()


@pytest.mark.parametrize("option", ["window-clamp=3000", "maxseg=500"])
def test_a_window_clamp_and_a_segment_size_are_unset_for_the_next_generation(moult, port, option):
    """The value that getsockopt() shows for "unset" cannot be set, and connections must not be
    limited by it."""
    instance = moult().run(command=server("g1", port, f"--model={option}"))
    instance.upgrade(command=server("g2", port))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"hello\n")
        assert client.recv(100).startswith(b"GEN g2 ")
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    segment = struct.unpack_from("I", info, 16)[0]  # tcpi_snd_mss
    window = struct.unpack_from("I", info, 228)[0]  # tcpi_snd_wnd, Linux 5.4
    assert window > 3000 and segment > 1000, (window, segment)
    instance.stop()


@pytest.mark.parametrize("family, v6only", [("6", 1), ("dual", 0)])
def test_ipv6_only_or_not(moult, port, family, v6only):
    instance = moult().run(command=server("g1", port, f"--family={family}"))
    instance.upgrade(command=server("g2", port, f"--family={family}", "--model=nodelay=1"))
    told = report(port, "::1")
    assert_has(told, {"tag": "g2", "v6only": v6only, "nodelay": 1})
    instance.stop()


def test_reuseaddr_reads_as_the_daemon_set_it(moult, port):
    instance = moult().run(command=server("g1", port))
    assert_has(report(port), {"reuseaddr": 1})
    instance.upgrade(command=server("g2", port, "--model=reuseaddr=0"))
    assert_has(report(port), {"reuseaddr": 0})
    instance.upgrade(command=server("g3", port))
    assert_has(report(port), {"reuseaddr": 1})
    instance.stop()


# ---- before the switch, and back ----

NEXT = {"keepalive": 1, "rcvbuf": 90000, "nodelay": 1, "tos": 8, "filter": 5}
NEXT_READ = {"keepalive": 1, "rcvbuf": 180000, "nodelay": 1, "tos": 8, "filter": 5}


def unnamed(told):
    return {name: value for name, value in told.items() if name not in ("tag", "pid")}


@pytest.mark.parametrize("late", [False, True], ids=["before-bind", "after-listen"])
def test_the_next_generation_reads_its_own_options_and_the_current_one_keeps_its(moult, port, directory, late):
    flag, output = directory / "flag", directory / "output"
    instance = moult().run_ready_by(flag, port, server("g1", port, spec({"sndbuf": 60000})))
    before = report(port)
    upgrade = instance.start_command("upgrade", instance.name, "--", *server(
        "g2", port, spec(NEXT, late), f"--output={output}"))
    told = written(output, instance.log)
    assert_has(told, {**NEXT_READ, "acceptconn": 1, "state": 10, "name": f"127.0.0.1:{port}"})
    assert told["sndbuf"] != before["sndbuf"]
    assert report(port) == before
    flag.touch()
    assert upgrade.wait(20) == 0
    assert_has(report(port), {**NEXT_READ, "tag": "g2", "buf-lock": 2})
    instance.stop()


def test_a_failed_version_leaves_no_option(moult, port, directory):
    """It fails before it is ready; later versions see none of its options."""
    output = directory / "output"
    instance = moult().run("--ready-timeout=700ms", command=server("g1", port, spec(EARLY | {
        "congestion": "cubic"})))
    before = report(port)
    for how in ("exit1", "hang"):
        instance.upgrade(command=server("bad", port, spec(NEXT), "--fail-at=waiting",
                                        f"--fail={how}", f"--output={output}"), expect=1)
        assert_has(written(output, instance.log), NEXT_READ)
        assert report(port) == before
    instance.upgrade(command=server("g2", port))
    assert_has(report(port), {"tag": "g2", "keepalive": 0, "nodelay": 0, "buf-lock": 0})
    instance.stop()


def test_a_roll_back_restores_the_options(moult, port):
    """The new version dies right after the switch.  Its predecessor has its own options again."""
    instance = moult().run(command=server("g1", port, spec({"sndbuf": 60000, "tos": 16})))
    before = report(port)
    instance.upgrade(command=server("bad", port, spec(NEXT), "--fail=die-soon",
                                    "--fail-at=waiting"), expect=1)
    assert report(port) == before
    instance.stop()


def test_a_listener_on_a_conflicting_address_listens_at_the_switch(moult, port, directory):
    """To the daemon it seems to listen at once."""
    flag, output = directory / "flag", directory / "output"
    instance = moult().run_ready_by(flag, port, server("g1", port))
    before = report(port)
    upgrade = instance.start_command("upgrade", instance.name, "--", *server(
        "g2", port, "--host=0.0.0.0", spec(NEXT), f"--output={output}"))
    told = written(output, instance.log)
    assert_has(told, {**NEXT_READ, "acceptconn": 1, "state": 10, "name": f"0.0.0.0:{port}"})
    assert report(port) == before
    flag.touch()
    assert upgrade.wait(20) == 0
    assert_has(report(port), {**NEXT_READ, "tag": "g2", "acceptconn": 1, "state": 10,
                              "name": f"0.0.0.0:{port}"})
    instance.stop()


# ---- flags ----

@pytest.mark.parametrize("how", ["fcntl", "fcntl64", "ioctl", "socket"])
def test_each_generation_has_its_own_o_nonblock(moult, port, directory, how):
    """By each way to set the flag.  A blocking generation follows a non-blocking one, and the
    reverse."""
    flag, output = directory / "flag", directory / "output"
    on = ("--nonblocking",) if how == "socket" else (f"--model=@{how}=1",)
    off = () if how == "socket" else ("--nonblocking", f"--model=@{how}=0")
    instance = moult().run_ready_by(flag, port, server("g1", port, *on))
    for tag, flags, wanted in (("g2", off, 0), ("g3", on, 1)):
        before = report(port)
        assert_has(before, {"nonblock": 1 - wanted, "nonblock64": 1 - wanted})
        upgrade = instance.start_command("upgrade", instance.name, "--", *server(
            tag, port, *flags, f"--output={output}"))
        told = written(output, instance.log)
        assert_has(told, {"nonblock": wanted, "nonblock64": wanted})
        assert report(port) == before
        flag.touch()
        assert upgrade.wait(20) == 0
        assert_has(report(port), {"tag": tag, "nonblock": wanted, "nonblock64": wanted})
        flag.unlink()
        output.unlink()
    instance.stop()


@pytest.mark.parametrize("when", ["", "@"], ids=["before-bind", "after-listen"])
def test_close_on_exec_is_what_the_daemon_set(moult, port, when):
    instance = moult().run(command=server("g1", port))
    for tag, value in (("g2", 1), ("g3", 0), ("g4", 1)):
        instance.upgrade(command=server(tag, port, f"--model={when}cloexec={value}"))
        assert_has(report(port), {"tag": tag, "cloexec": value})
    instance.stop()


def test_the_backlog_only_grows_in_a_hand_over(moult, port):
    """A smaller backlog would drop clients from the queue that both generations share."""
    instance = moult().run(command=server("g1", port, "--backlog=100"))
    for tag, backlog, wanted in (("g2", 20, 100), ("g3", 300, 300), ("g4", 100, 300)):
        instance.upgrade(command=server(tag, port, f"--backlog={backlog}"))
        assert_has(report(port), {"tag": tag, "backlog": wanted})
        assert instance.status()["listeners"][0]["backlog"] == wanted
    instance.stop()


# ---- datagrams ----

def ask_datagram(address, question=b"report", family=socket.AF_INET):
    """All answers, by datagram and tag, until a moment after the first one."""
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(question, address)
        return client.recv(4096).decode()


def test_udp_options(moult, port):
    options = {"pktinfo": 1, "rcvbuf": 50000, "tos": 16, "filter": 2}
    instance = moult().run(command=server("g1", port, "--type=dgram"))
    before = parse(ask_datagram(("127.0.0.1", port)))
    instance.upgrade(command=server("g2", port, "--type=dgram", spec(options)))
    assert_has(parse(ask_datagram(("127.0.0.1", port))),
               {**options, "rcvbuf": 100000, "tag": "g2", "buf-lock": 2})
    instance.upgrade(command=server("g3", port, "--type=dgram"))
    after = parse(ask_datagram(("127.0.0.1", port)))
    assert after["tag"] == "g3" and unnamed(after) == unnamed(before)
    instance.stop()


def test_udp_options_of_ipv6(moult, port):
    instance = moult().run(command=server("g1", port, "--type=dgram", "--family=6"))
    for tag, value in (("g2", 1), ("g3", 0)):
        instance.upgrade(command=server(tag, port, "--type=dgram", "--family=6",
                                        f"--model=@recvpktinfo6={value}"))
        assert_has(parse(ask_datagram(("::1", port), family=socket.AF_INET6)),
                   {"tag": tag, "recvpktinfo6": value})
    instance.stop()


def test_each_generation_joins_the_multicast_group(moult, port):
    """Membership belongs to the shared socket: no second join fails, and one question has one
    answer."""
    group = "239.1.2.3"
    command = [port, "--type=dgram", "--host=0.0.0.0", f"--model=@join={group}"]
    instance = moult().run(command=server("g1", *command))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                          socket.inet_aton("127.0.0.1"))
        for tag in ("g1", "g2", "g3"):
            if tag != "g1":
                instance.upgrade(command=server(tag, *command))
            for _ in range(5):
                client.sendto(b"hello", (group, port))
                assert client.recv(4096).decode().startswith(f"GEN {tag} ")
        # The answers to these come after any second answer to the earlier questions
        client.sendto(b"hello", ("127.0.0.1", port))
        assert client.recv(4096).decode().startswith("GEN g3 ")
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(4096)
    instance.stop()
