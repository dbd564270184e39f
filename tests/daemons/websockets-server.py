# SPDX-License-Identifier: MIT
# websockets-server.py PORT TAG [reuseport]: streams over WebSocket, answers to plain HTTP.
import asyncio
import http
import sys

import websockets

port, tag, *options = sys.argv[1:]


async def plain(path, headers):
    if "Upgrade" in headers:
        return None
    return http.HTTPStatus.OK, {}, f"GEN {tag} websockets\n".encode()


async def count(connection):
    """How many messages the client sends before its "end"."""
    received = 0
    async for message in connection:
        if message == "end":
            break
        received += 1
    return received


async def stream(connection):
    """Sends numbered messages and counts the client's, until one of these says "end"."""
    client, sent = asyncio.create_task(count(connection)), 0
    while not client.done():
        sent += 1
        await connection.send(f"{tag} {sent}")
        await asyncio.sleep(0.025)
    await connection.send(f"{tag} end {sent} {client.result()}")


async def main():
    async with websockets.serve(stream, "127.0.0.1", int(port), process_request=plain,
                                reuse_port="reuseport" in options):
        await asyncio.Event().wait()


asyncio.run(main())
