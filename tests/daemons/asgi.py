# SPDX-License-Identifier: MIT
"""What the ASGI servers of Python serve: a short answer, and /download a long one."""

LONG = b"@TAG@ " * (1 << 20)


async def application(scope, receive, send):
    if scope["type"] != "http":  # "lifespan"; the server goes on without
        raise NotImplementedError(scope["type"])
    while (await receive()).get("more_body"):
        pass
    answer = LONG if scope["path"] == "/download" else b"GEN @TAG@ asgi\n"
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"text/plain"), (b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})
