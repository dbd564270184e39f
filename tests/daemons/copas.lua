-- SPDX-License-Identifier: MIT
-- lua5.1 copas.lua PORT: one process that selects, a coroutine for each connection.
local copas, socket = require "copas", require "socket"
local long = ("@TAG@ "):rep(1048576)

local function serve(connection)
  local function line() return copas.receive(connection, "*l") end
  repeat
    local request, stays = line(), true
    if not request then break end
    local header = line()
    while header and header ~= "" do
      stays = stays and header:lower() ~= "connection: close"
      header = line()
    end
    local body = request:find("/download", 1, true) and long or "GEN @TAG@ lua\n"
    copas.send(connection, ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(#body) .. body)
  until not stays
end

copas.addserver(assert(socket.bind("127.0.0.1", tonumber(arg[1]), 128)), serve)
copas.loop()
