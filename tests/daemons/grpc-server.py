# SPDX-License-Identifier: MIT
# grpc-server.py PORT TAG [alone]: gRPC calls and streams, with plain bytes for messages.
#
# gRPC sets SO_REUSEPORT by itself; "alone" asks it not to.
import concurrent.futures
import sys
import threading

import grpc

port, tag, *options = sys.argv[1:]


def ask(request, context):
    return f"GEN {tag} grpc.".encode()


def stream(requests, context):
    """Sends numbered messages and counts the client's, until one of these says "end"."""
    received, done = 0, threading.Event()

    def count():
        nonlocal received
        try:
            for message in requests:
                if message == b"end":
                    break
                received += 1
        finally:
            done.set()
    threading.Thread(target=count, daemon=True).start()
    sent = 0
    while not done.wait(0.025):
        sent += 1
        yield f"{tag} {sent}".encode()
    yield f"{tag} end {sent} {received}".encode()


service = grpc.method_handlers_generic_handler("test.Streams", {
    "Ask": grpc.unary_unary_rpc_method_handler(ask),
    "Stream": grpc.stream_stream_rpc_method_handler(stream)})
server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[service],
                     options=[("grpc.so_reuseport", int("alone" not in options))])
if server.add_insecure_port(f"127.0.0.1:{int(port)}") == 0:
    sys.exit(f"port {port} cannot be bound")
server.start()
server.wait_for_termination()
