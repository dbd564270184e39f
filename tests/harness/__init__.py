# SPDX-License-Identifier: MIT
"""What the tests use: processes, ports, the load client and the launcher under test."""
