# SPDX-License-Identifier: MIT
vcl 4.1;
backend none none;
sub vcl_recv {
    return (synth(200));
}
sub vcl_synth {
    set resp.body = "GEN @TAG@ varnish" + {"
"};
    return (deliver);
}
