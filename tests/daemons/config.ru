# SPDX-License-Identifier: MIT
# What the Rack servers of Ruby serve: a short answer, and /download a long one.
LONG = "@TAG@ " * (1 << 20)

run lambda { |environment|
  environment["rack.input"].read
  answer = environment["PATH_INFO"] == "/download" ? LONG : "GEN @TAG@ rack\n"
  [200, { "content-type" => "text/plain", "content-length" => answer.bytesize.to_s }, [answer]]
}
