# SPDX-License-Identifier: Apache-2.0
# t/67-purgers.t. The purges that applications send, as t/data/purgers.txt has them, and
# requests that pages of other sites have made a browser send.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['authz_host']);
<Location "/">
    DevCache On
    DevCachePurge On
    Require local
</Location>
<Location "/purge">
    DevCache Off
    DevCachePurge Path
    Require local
</Location>
ProxyPass / @ORIGIN@/
CONF

sub store {
    my ($path, @fields) = @_;
    my $x = $t->send_req($path);
    $t->origin->accept->reply(200, [ 'Cache-Control' => 'max-age=1000', ETag => '"e"', @fields ], "page $path");
    return $x->response;
}
sub status_of { return $t->get($_[0], 'Cache-Control' => 'only-if-cached')->{status} }

# --- the table ----------------------------------------------------------------------------

sub read_blocks {
    my (@blocks, $fields);
    open my $in, '<', "$FindBin::Bin/data/purgers.txt" or die $!;
    while (<$in>) {
        chomp;
        next if /^#/ || /^$/;
        if (/^== (.*)/) { push @blocks, { name => $1, steps => [] } }
        elsif (/^  (\S+): (.*)/) { push @$fields, $1, $2 }
        elsif (/^send: (\S+) (\S+)/) {
            push @{ $blocks[-1]{steps} }, ['send', $1, $2, $fields = []];
        }
        elsif (/^(page|want|gone|kept|from): (.*)/) { push @{ $blocks[-1]{steps} }, [$1, $2] }
        else { die "purgers.txt: $_" }
    }
    return @blocks;
}

my @blocks = read_blocks();
for my $block (@blocks) {
    subtest $block->{name} => sub {
        my ($got, $from);
        for my $step (@{ $block->{steps} }) {
            my ($what, @args) = @$step;
            if ($what eq 'from') { $from = 1 }
            elsif ($what eq 'page') {
                my ($path, @fields) = split /; /, $args[0];
                my $shown = store($path, map { /^(\S+): (.*)/s ? ($1, $2) : die $_ } @fields);
                is $shown->header((split /: /)[0]), undef, "a visitor does not see $_" for grep { !/^X-My-/ } @fields;
            }
            elsif ($what eq 'send') {
                my ($method, $path, $fields) = @args;
                $got = $t->get($path, ':method' => $method, @$fields);
            }
            elsif ($what eq 'want') {
                my ($status, $body) = split / /, $args[0], 2;
                is $got->{status}, $status, "status $status" or diag $got->{body};
                $status == 200 ? is($got->{body}, "$body\n", 'answer')
                               : like($got->{body}, qr/^\{"error": "[^"]*\Q$body\E[^"]*"\}$/, 'answer');
            }
            else {
                is status_of($_), $what eq 'gone' ? 504 : 200, "$what: $_" for split / /, $args[0];
            }
        }
        ok $from, 'it says from where it is';
        is $t->get('/', ':method' => 'BAN')->{status}, 200, 'emptied';
    };
}
cmp_ok scalar @blocks, '>', 30, 'all of them';

# --- from another site -------------------------------------------------------------------------

my $port = $t->port;
my $own = "http://127.0.0.1:$port";
my @browser = ('User-Agent' => PC);
my @cases = (
    # name, allowed, fields
    ['a program', 1, 'User-Agent' => 'WordPress/6.6; https://www.example.org'],
    ['nothing at all', 1, 'User-Agent' => undef],
    ['typed into the address bar', 1, @browser, 'Sec-Fetch-Site' => 'none'],
    ['a page of this site', 1, @browser, 'Sec-Fetch-Site' => 'same-origin', Referer => "$own/admin"],
    ['an older browser, a page of this site', 1, @browser, Referer => "$own/admin"],
    ['a form of this site', 1, @browser, Origin => $own],
    ['an image of another site', 0, @browser, 'Sec-Fetch-Site' => 'cross-site'],
    ['a page of a sibling', 0, @browser, 'Sec-Fetch-Site' => 'same-site'],
    ['a word that may come', 0, @browser, 'Sec-Fetch-Site' => 'Same-Origin'],
    ['two words', 0, @browser, 'Sec-Fetch-Site' => 'none', 'Sec-Fetch-Site' => 'cross-site'],
    ['a foreign Origin', 0, @browser, Origin => 'http://evil.example'],
    ['a foreign Origin of a program', 0, 'User-Agent' => 'x', Origin => 'http://evil.example'],
    ['a sandboxed page', 0, @browser, Origin => 'null'],
    ['an empty Origin', 0, @browser, Origin => ''],
    ['another scheme', 0, @browser, Origin => "https://127.0.0.1:$port"],
    ['another port', 0, @browser, Referer => 'http://127.0.0.1:1/admin'],
    ['no port', 0, @browser, Referer => 'http://127.0.0.1/admin'],
    ['our name in front of a longer one', 0, @browser, Referer => "http://127.0.0.1:$port.evil.example/"],
    ['our name before an @', 0, @browser, Referer => "http://127.0.0.1:$port\@evil.example/"],
    ['our name behind an @', 0, @browser, Referer => "http://x\@127.0.0.1:$port/"],
    ['our name in the path', 0, @browser, Referer => "http://evil.example/127.0.0.1:$port/"],
    ['a foreign Referer behind our own', 0, @browser, Referer => "$own/", Referer => 'http://evil.example/'],
    ['own Sec-Fetch-Site, foreign Referer', 0, @browser, 'Sec-Fetch-Site' => 'same-origin', Referer => 'http://evil.example/'],
    ['a browser that is silent', 0, @browser],
    ['a browser with an empty Referer', 0, @browser, Referer => ''],
);
for my $method ('GET', 'HEAD', 'POST', 'PURGE') {
    for my $case (@cases) {
        my ($name, $allowed, @fields) = @$case;
        store('/x');
        my $got = $t->get('/purge/x', ':method' => $method, $method eq 'POST' ? ('Content-Length' => 0) : (), @fields);
        my $may = $allowed || $method eq 'PURGE';
        is $got->{status}, $may ? 200 : 403, "$method: $name";
        is status_of('/x'), $may ? 504 : 200, "$method: $name: the page";
        like $got->{body}, qr/"error": ".*must not purge by its visitors/, "$method: $name: a sentence"
            unless $may || $method eq 'HEAD';
        $t->get('/x', ':method' => 'PURGE');
    }
}
store('/x');
is $t->get('/%70urge/*')->{status}, 400, 'the path of the Location in another spelling';
is status_of('/x'), 200, 'that purges nothing';

$t->finish;
done_testing;
