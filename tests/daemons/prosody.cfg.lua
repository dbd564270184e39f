-- SPDX-License-Identifier: MIT
run_as_root = true
data_path = "@DIRECTORY@"
plugin_paths = { "@PLUGINS@" }
log = { info = "@DIRECTORY@/log" }
interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
modules_enabled = { "gen" }
modules_disabled = { "s2s" }
c2s_require_encryption = false
limits = {}
VirtualHost "test"
