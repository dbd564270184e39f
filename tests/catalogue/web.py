# SPDX-License-Identifier: MIT
"""Web servers."""

from catalogue.daemon import Daemon  # noqa: F401

DAEMONS = []
