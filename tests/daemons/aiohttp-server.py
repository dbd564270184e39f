# SPDX-License-Identifier: MIT
# aiohttp-server.py PORT
import sys

from aiohttp import web

LONG = b"@TAG@ " * (1 << 20)


async def short(request):
    await request.read()
    return web.Response(text="GEN @TAG@ aiohttp\n")


async def long(request):
    return web.Response(body=LONG)


application = web.Application()
application.add_routes([web.get("/", short), web.post("/", short), web.get("/download", long)])
web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]))
