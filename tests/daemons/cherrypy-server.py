# SPDX-License-Identifier: MIT
# cherrypy-server.py PORT: a pool of threads behind one that accepts.
import sys

import cherrypy

LONG = b"@TAG@ " * (1 << 20)


class Site:
    @cherrypy.expose
    def index(self, **form):
        return "GEN @TAG@ cherrypy\n"

    @cherrypy.expose
    def download(self):
        return LONG


cherrypy.config.update({
    "server.socket_host": "127.0.0.1", "server.socket_port": int(sys.argv[1]),
    "server.thread_pool": 12, "server.socket_queue_size": 128,
    "engine.autoreload.on": False, "log.screen": False})
cherrypy.quickstart(Site())
