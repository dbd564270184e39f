# SPDX-License-Identifier: MIT
# socketserver-forking.py PORT: a process for each connection.
import http.server
import socketserver
import sys

LONG = b"@TAG@ " * (1 << 20)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = LONG if self.path == "/download" else b"GEN @TAG@ socketserver\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *words):
        pass


class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    max_children = 200


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
