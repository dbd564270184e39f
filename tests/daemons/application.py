# SPDX-License-Identifier: MIT
"""What uwsgi serves."""


def application(environment, start_response):
    answer = b"GEN @TAG@ uwsgi\n"
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
