# SPDX-License-Identifier: MIT
"""The clients of harness/streams.py: stream_clients.py KIND PORT

Both sides of a stream number their messages.  The server's are "TAG 1", "TAG 2" ...; the client's
are "1", "2" ... and at last "end".  The server then sends "TAG end SENT RECEIVED" and ends the
stream.  Nothing was lost if the numbers have no gap, both counts are right, and the stream ends in
order.

Obeys "open COUNT", "report" and "finish", and answers each with a line of JSON: all records.  A
program of its own, because the threads of gRPC stay in the network namespace in which they began.
"""

import asyncio
import contextlib
import dataclasses
import json
import sys

import grpc
import websockets

PAUSE = 0.025  # seconds between the client's messages


class Lost(Exception):
    """A stream that did not end in order.  The reason is one of the load client's words."""


@dataclasses.dataclass
class Record:
    """What one stream has seen until now."""

    tag: str = ""
    received: int = 0
    sent: int = 0
    ended: bool = False
    loss: str = ""

    def take(self, message):
        """Checks a message of the server; True if it is the last one."""
        tag, *words = message.split(" ")
        self.tag = self.tag or tag
        if tag == self.tag and words == ["end", str(self.received), str(self.sent)]:
            return True
        if tag != self.tag or words != [str(self.received + 1)]:
            raise Lost(f"wrong: {message!r} after {self}")
        self.received += 1
        return False


# ---- kinds of streams ----


class Lines:
    """Lines of text on a connection that has begun with HTTP."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port):
        stream = cls()
        stream.reader, stream.writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            stream.writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n"
                                b"Connection: upgrade\r\nUpgrade: lines\r\n\r\n")
            head = await stream.reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head:
                raise Lost(f"wrong: {head!r}")
            yield stream
        finally:
            stream.writer.close()

    async def send(self, text):
        self.writer.write(text.encode() + b"\n")
        await self.writer.drain()

    async def messages(self):
        while line := await self.reader.readline():
            if not line.endswith(b"\n"):
                raise Lost(f"cut in {line!r}")
            yield line.decode().rstrip("\n")


class WebSocket:
    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port):
        stream = cls()
        async with websockets.connect(f"ws://127.0.0.1:{port}/stream") as stream.socket:
            yield stream

    async def send(self, text):
        await self.socket.send(text)

    async def messages(self):
        async for message in self.socket:  # raises at the end, but not for the codes 1000 and 1001
            yield message
        if self.socket.close_code != 1000:
            raise Lost(f"cut: close code {self.socket.close_code}")


class Grpc:
    """A call on a channel of its own, so on a connection of its own."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port):
        stream = cls()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            stream.call = channel.stream_stream("/test.Streams/Stream")()
            yield stream

    async def send(self, text):
        await self.call.write(text.encode())

    async def messages(self):
        while (message := await self.call.read()) is not grpc.aio.EOF:
            yield message.decode()
        if await self.call.code() != grpc.StatusCode.OK:
            raise Lost(f"cut: {await self.call.details()}")


KINDS = {"lines": Lines, "websocket": WebSocket, "grpc": Grpc}


# ---- running them ----


async def run(record, kind, port, enough):
    """One stream, to its end; whatever happens to it is in the record."""
    try:
        async with kind.open(port) as stream:
            sender = asyncio.create_task(send(stream, record, enough))
            try:
                await receive(stream, record)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
    except Lost as loss:
        record.loss = str(loss)
    except ConnectionRefusedError:
        record.loss = "refused"
    except (OSError, EOFError, grpc.RpcError, websockets.WebSocketException) as error:
        record.loss = f"cut: {error!r}"
    finally:
        record.ended = True


async def send(stream, record, enough):
    while not enough.is_set():
        record.sent += 1
        await stream.send(str(record.sent))
        await asyncio.sleep(PAUSE)
    await stream.send("end")


async def receive(stream, record):
    last = False
    async for message in stream.messages():
        if last:
            raise Lost(f"wrong: {message!r} after the end")
        last = record.take(message)
    if not last:
        raise Lost("cut")


async def main(kind, port):
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    enough, records, tasks = asyncio.Event(), [], []
    while command := (await commands.readline()).decode().split():
        if command[0] == "open":
            for _ in range(int(command[1])):
                records.append(Record())
                tasks.append(asyncio.create_task(run(records[-1], KINDS[kind], port, enough)))
        elif command[0] == "finish":
            enough.set()
        print(json.dumps([dataclasses.asdict(record) for record in records]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
