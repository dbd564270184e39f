# SPDX-License-Identifier: MIT
"""Servers of long-lived streams, in the frameworks that such servers are written in today.

tests/test_streams.py has the streams.
"""

from catalogue.daemon import HTTP_ANSWER, HTTP_HALF, Daemon, escaped
from catalogue.python import PYTHON, Http, bad_port
from harness import build, http2
from harness.rust import rust_program


def tokio(setting, tag):
    return [rust_program("tokio"), str(setting.port), tag]


def python(program):
    def command(setting, tag):
        return [PYTHON, str(build.DAEMONS / program), str(setting.port), tag]
    return command


def ws(setting, tag):
    return ["env", "NODE_PATH=/usr/share/nodejs", "node", str(build.DAEMONS / "ws-server.js"),
            str(setting.port), tag]


CALL = http2.unary_call(b"/test.Streams/Ask")
GRPC_LOAD = {"mode": "request", "send": escaped(CALL), "until": " grpc.",
             "farewell": escaped(http2.FAREWELL)}

TOKIO = Http("tokio", ("librust-tokio-dev", "cargo", "rustc"), "Rust; threads, epoll", tokio,
             rate=150, failing=bad_port, fast=True)
WEBSOCKETS = Http("websockets", ("python3-websockets",), "one process, asyncio",
                  python("websockets-server.py"), download="", persistent=0, failing=bad_port)
WS = Daemon("node, ws", ("node-ws", "nodejs"), "one process, libuv", ws, half=HTTP_HALF,
            answer=HTTP_ANSWER, failing=bad_port)
GRPC = Daemon("gRPC", ("python3-grpcio",), "the C core's threads, epoll; SO_REUSEPORT",
              python("grpc-server.py"), load=lambda setting: GRPC_LOAD, rate=80, persistent=0,
              half=(CALL[:60], CALL[60:]), answer=b"GEN @TAG@ ", failing=bad_port)
SECCOMP = Http("Python, seccomp", ("python3-seccomp",), "one process, asyncio; a strict filter",
               python("seccomp-server.py"), download="", failing=bad_port,
               notes="the filter forbids fork and execve")

DAEMONS = [
    TOKIO,
    WEBSOCKETS,
    WS,
    GRPC,
    GRPC.but("gRPC, one socket", model="the same without SO_REUSEPORT",
             command=lambda setting, tag: [*GRPC.command(setting, tag), "alone"]),
    SECCOMP,
]
