# SPDX-License-Identifier: MIT
# tornado-server.py PORT PROCESSES: workers forked after the bind, each with an event loop.
import asyncio
import sys

import tornado.httpserver
import tornado.netutil
import tornado.process
import tornado.web

LONG = b"@TAG@ " * (1 << 20)


class Short(tornado.web.RequestHandler):
    def get(self):
        self.write("GEN @TAG@ tornado\n")

    post = get


class Long(tornado.web.RequestHandler):
    def get(self):
        self.write(LONG)


async def main():
    application = tornado.web.Application([("/", Short), ("/download", Long)])
    tornado.httpserver.HTTPServer(application).add_sockets(sockets)
    await asyncio.Event().wait()


port, processes = map(int, sys.argv[1:])
sockets = tornado.netutil.bind_sockets(port, "127.0.0.1")
if processes > 1:
    tornado.process.fork_processes(processes)
asyncio.run(main())
