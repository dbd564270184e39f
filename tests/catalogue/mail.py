# SPDX-License-Identifier: MIT
"""Mail servers."""

from catalogue.daemon import Daemon  # noqa: F401

DAEMONS = []
