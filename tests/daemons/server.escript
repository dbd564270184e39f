#!/usr/bin/env escript
%% SPDX-License-Identifier: MIT
%% escript server.escript PORT: a process of Erlang's for each connection.
main([Port]) ->
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), [
        binary, {ip, {127, 0, 0, 1}}, {packet, http_bin}, {active, false}, {reuseaddr, true},
        {backlog, 128}]),
    accept(Listener).

accept(Listener) ->
    {ok, Connection} = gen_tcp:accept(Listener),
    Served = spawn(fun() -> receive go -> request(Connection) end end),
    ok = gen_tcp:controlling_process(Connection, Served),
    Served ! go,
    accept(Listener).

request(Connection) ->
    case gen_tcp:recv(Connection, 0) of
        {ok, {http_request, _, {abs_path, Path}, _}} -> headers(Connection, Path, true);
        _ -> gen_tcp:close(Connection)
    end.

headers(Connection, Path, Stays) ->
    case gen_tcp:recv(Connection, 0) of
        {ok, {http_header, _, 'Connection', _, <<"close">>}} -> headers(Connection, Path, false);
        {ok, {http_header, _, _, _, _}} -> headers(Connection, Path, Stays);
        {ok, http_eoh} ->
            Body = body(Path),
            ok = gen_tcp:send(Connection, [
                <<"HTTP/1.1 200 OK\r\nContent-Length: ">>, integer_to_binary(byte_size(Body)),
                <<"\r\n\r\n">>, Body]),
            case Stays of
                true -> request(Connection);
                false -> gen_tcp:close(Connection)
            end;
        _ -> gen_tcp:close(Connection)
    end.

body(<<"/download">>) -> binary:copy(<<"@TAG@ ">>, 1 bsl 20);
body(_) -> <<"GEN @TAG@ erlang\n">>.
