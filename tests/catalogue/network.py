# SPDX-License-Identifier: MIT
"""Everything else: names, logins, files, super-servers."""

from catalogue.daemon import Daemon  # noqa: F401

DAEMONS = []
