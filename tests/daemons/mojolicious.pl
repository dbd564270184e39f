# SPDX-License-Identifier: MIT
use Mojolicious::Lite -signatures;

my $long = '@TAG@ ' x (1 << 20);

app->log->level('warn');
app->config(hypnotoad => {
    listen => ['http://127.0.0.1:@PORT@'], pid_file => '@DIRECTORY@/@TAG@.pid', workers => 2,
    requests => 100_000});
any '/' => sub ($c) { $c->render(text => "GEN @TAG@ mojolicious\n") };
get '/download' => sub ($c) { $c->render(text => $long) };
app->start;
