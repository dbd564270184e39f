% SPDX-License-Identifier: MIT
% swipl server.pl PORT: a thread that accepts, a pool of them for the connections.
:- use_module(library(http/thread_httpd)).
:- use_module(library(http/http_dispatch)).
:- use_module(library(http/http_client)).
:- initialization(main, main).

:- http_handler(root(.), short, []).
:- http_handler(root(download), long, []).

body(Request) :- memberchk(method(post), Request), !, http_read_data(Request, _, [to(string)]).
body(_).

short(Request) :- body(Request), format("Content-Type: text/plain~n~nGEN @TAG@ prolog~n").
long(_) :-
    format("Content-Type: text/plain~n~n"),
    forall(between(1, 1048576, _), write("@TAG@ ")).

main([Word]) :-
    atom_number(Word, Port),
    http_server(http_dispatch, [port('127.0.0.1':Port), workers(12)]),
    thread_get_message(_).
