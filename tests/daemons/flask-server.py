# SPDX-License-Identifier: MIT
"""A thread for each connection, by `flask run`."""
import flask

LONG = b"@TAG@ " * (1 << 20)

app = flask.Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def short():
    return "GEN @TAG@ flask\n"


@app.route("/download")
def long():
    return LONG
