# SPDX-License-Identifier: MIT
"""Databases, key-value stores and directories."""

from catalogue.daemon import Daemon  # noqa: F401

DAEMONS = []
