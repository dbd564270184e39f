# SPDX-License-Identifier: MIT
"""Servers written in scripting languages, JavaScript and Java."""

from catalogue.daemon import Daemon  # noqa: F401

DAEMONS = []
