# SPDX-License-Identifier: MIT
# What the PSGI servers of Perl serve: a short answer, and /download a long one.
use strict;
use warnings;

my $long = "@TAG@ " x (1 << 20);

sub {
    my ($environment) = @_;
    my $answer = $environment->{PATH_INFO} eq "/download" ? $long : "GEN @TAG@ psgi\n";
    return [200, ["Content-Type" => "text/plain", "Content-Length" => length $answer], [$answer]];
};
