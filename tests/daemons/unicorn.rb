# SPDX-License-Identifier: MIT
worker_processes 6
pid "@DIRECTORY@/pid"
