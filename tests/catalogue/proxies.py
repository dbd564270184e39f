# SPDX-License-Identifier: MIT
"""Proxies and caches of HTTP."""

from catalogue.daemon import Daemon  # noqa: F401

DAEMONS = []
