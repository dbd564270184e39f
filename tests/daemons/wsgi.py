# SPDX-License-Identifier: MIT
"""What the WSGI servers of Python serve: a short answer, and /download a long one."""

LONG = b"@TAG@ " * (1 << 20)


def application(environment, start_response):
    environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
    answer = LONG if environment["PATH_INFO"] == "/download" else b"GEN @TAG@ wsgi\n"
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("Content-Length", str(len(answer)))])
    return [answer]
