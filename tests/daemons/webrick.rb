# SPDX-License-Identifier: MIT
# webrick.rb PORT: a thread for each connection.
require "webrick"

long = "@TAG@ " * (1 << 20)
quiet = WEBrick::Log.new($stderr, WEBrick::Log::WARN)
server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: ARGV[0].to_i, Logger: quiet,
                                 AccessLog: [])
server.mount_proc("/") do |request, response|
  response["Content-Type"] = "text/plain"
  response.body = request.path == "/download" ? long : "GEN @TAG@ webrick\n"
end
%w[INT TERM].each { |signal| trap(signal) { server.shutdown } }
server.start
