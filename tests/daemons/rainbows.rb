# SPDX-License-Identifier: MIT
worker_processes 2
pid "@DIRECTORY@/pid"
Rainbows! do
  use :ThreadPool
  worker_connections 16
end
