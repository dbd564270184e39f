# SPDX-License-Identifier: MIT
"""What the tests stand on: processes, ports, the load client and the launcher under test."""
