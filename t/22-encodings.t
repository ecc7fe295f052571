# SPDX-License-Identifier: Apache-2.0
# t/22-encodings.t. Accept-Encoding: the origin is asked for few codings, one copy serves all who
# accept its coding, and nobody gets one that he does not accept.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', origins => 2, modules => [qw(filter deflate)]);
DevCacheStatusHeader On
DevCacheVaryDevice Off
<Location "/">
    DevCache On
</Location>
<Location "/gzip/">
    DevCacheEncodings gzip
</Location>
<Location "/keep/">
    DevCacheEncodings keep
</Location>
<Location "/lacks/">
    AddOutputFilterByType DEFLATE text/plain
    DevCacheEncodings br
</Location>
<Location "/here/">
    AddOutputFilterByType DEFLATE text/plain
</Location>
ProxyPass /smart/ @ORIGIN2@/smart/
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my @all = ('gzip', 'gzip, deflate', 'gzip, deflate, br', 'gzip, deflate, br, zstd', 'GZIP;q=0.5',
           'br;q=1.0, gzip;q=0.8, *;q=0.1', '*');
sub accepts { my $coding = shift; return defined $coding ? ('Accept-Encoding' => $coding) : () }
sub coded {
    my ($coding, @more) = @_;
    return [200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Encoding',
            ($coding ? ('Content-Encoding' => $coding) : ()), @more];
}
sub no_more { return [500] }

subtest 'an origin that knows gzip: one copy for all who accept it, one for the others' => sub {
    $site->fetched('first', '/one', coded('gzip'), accepts('gzip, deflate'));
    $site->cached("\"$_\"", '/one', no_more, accepts($_)) for @all;
    $site->fetched('nothing said', '/one', coded());
    $site->cached("again", '/one', no_more, accepts($_)) for undef, 'identity', 'deflate', 'zstd', 'gzip;q=0';
    is $site->ask('/one', no_more, accepts('gzip'))->header('Content-Encoding'), 'gzip', 'gzip stays';
    is $site->ask('/one', no_more)->header('Content-Encoding'), undef, 'to those who accept it';
};

subtest 'what the origin is asked for' => sub {
    my %sent = ('gzip, deflate, br, zstd' => 'br, gzip', 'gzip, deflate' => 'gzip', 'zstd' => '-',
                'br;q=0, gzip;q=0.1' => 'gzip', 'gzip, identity;q=0' => 'gzip, identity;q=0');
    for my $all (sort keys %sent) {
        $site->ask("/sent/$all" =~ s/[ ,;=]+/-/gr, coded('gzip'), accepts($all));
        my $header = ($site->{auto}->requests)[-1][2];
        my ($name) = grep { lc eq 'accept-encoding' } keys %$header;
        is $name ? $header->{$name} : '-', $sent{$all}, $all;
    }
    $site->fetched('by DevCacheEncodings', '/gzip/a', coded('gzip'), accepts('br, gzip'));
    $site->cached('there br is no question', '/gzip/a', no_more, accepts('gzip'));
};

subtest 'the better one, where the URL has shown it' => sub {
    $site->fetched('gzip first', '/two', coded('gzip', ':body' => 'in gzip'), accepts('gzip'));
    $site->cached('is for who knows br, too', '/two', no_more, accepts('br, gzip'));
    $site->fetched('br alone', '/two', coded('br', ':body' => 'in br'), accepts('br'));
    is $site->ask('/two', no_more, accepts('gzip, br'))->{body}, 'in br', 'from now on br';
    is $site->ask('/two', no_more, accepts('gzip, deflate'))->{body}, 'in gzip', 'and gzip to others';
};

subtest 'a coding without Vary' => sub {
    $site->fetched('a browser', '/silent', [200, 'Cache-Control' => 'max-age=60', 'Content-Encoding' => 'gzip'],
                   accepts('gzip, br'));
    my $curl = $site->ask('/silent', [200, 'Cache-Control' => 'max-age=60', ':body' => 'plain']);
    is $curl->{body}, 'plain', 'curl does not get the gzip';
    my $hit = $site->ask('/silent', no_more, accepts('gzip'));
    is $hit->header('Content-Encoding'), 'gzip', 'browsers do';
    like $hit->header('Vary'), qr/Accept-Encoding/, 'and caches behind us are told';
};

subtest 'a body without a coding' => sub {
    $site->fetched('though gzip is accepted', '/small', coded(), accepts('gzip'));
    $site->cached('is for all', '/small', no_more, accepts($_)) for undef, 'br', 'identity', 'gzip, br';
    $site->fetched('but not for who refuses it', '/small', coded('gzip'), accepts('gzip, identity;q=0'));
};

subtest 'a field that mod_proxy does not send on' => sub {
    $site->fetched('by Connection', '/hop', coded(), accepts('gzip'), Connection => 'close, Accept-Encoding');
    $site->fetched('others are given a coding', '/hop', coded('gzip'), accepts('gzip'));
    is $site->ask('/hop', no_more, accepts('gzip'))->header('Content-Encoding'), 'gzip', 'from then on';
};

subtest 'what nobody asked for' => sub {
    $site->fetched('gzip, though nothing was accepted', '/odd', coded('gzip'));
    $site->cached('is for those who ask likewise', '/odd', no_more, accepts('identity'));
    $site->fetched('and not for those who might get another', '/odd', coded('br'), accepts('br'));
    $site->fetched('two codings', '/two-codings', coded('gzip, br'), accepts('gzip, br'));
    $site->cached('likewise', '/two-codings', no_more, accepts('gzip, br, zstd'));
    $site->fetched('and no others', '/two-codings', coded('gzip'), accepts('gzip'));
};

subtest 'DevCacheEncodings keep' => sub {
    $site->fetched('first', '/keep/a', coded('gzip'), accepts('gzip, deflate'));
    $site->cached('the same, spelled otherwise', '/keep/a', no_more, accepts('deflate,gzip'));
    $site->fetched('another', '/keep/a', coded('gzip'), accepts('gzip'));
};

subtest 'coded here, by mod_deflate' => sub {
    my @page = (200, 'Cache-Control' => 'max-age=60', 'Content-Type' => 'text/plain', ':size' => 3000);
    $site->fetched('first', '/here/a', \@page, accepts('gzip, deflate, br'));
    $site->cached($_, '/here/a', no_more, accepts($_)) for 'gzip', 'gzip, deflate', 'gzip, deflate, br, zstd';
    my $plain = $site->ask('/here/a', \@page);
    is length $plain->{body}, 3000, 'plain to those who do not accept it';
    $site->cached('and stored for them', '/here/a', no_more);
    is $site->ask('/here/a', no_more, accepts('gzip'))->header('Content-Encoding'), 'gzip', 'gzip to others';
};

subtest 'coded here, in a way that the list lacks' => sub {
    my @page = (200, 'Cache-Control' => 'max-age=60', 'Content-Type' => 'text/plain', ':size' => 3000);
    is $site->ask('/lacks/a', \@page, accepts('gzip, br'))->header('Content-Encoding'), undef, 'is not made';
    $site->cached('the same for others', '/lacks/a', no_more, accepts('br'));
};

# What is sent today, by browsers, programs and crawlers.
my @today = ('gzip, deflate, br, zstd', 'gzip, deflate, br', 'gzip, deflate', undef, 'deflate, gzip, br, zstd', 'gzip', 'identity',
             'gzip,deflate', 'gzip, deflate, br, zstd, dcb, dcz', 'br;q=1.0, gzip;q=0.8, *;q=0.1', 'deflate, gzip', 'br,gzip',
             'gzip;q=1.0,deflate;q=0.6,identity;q=0.3', 'gzip, x-gzip, deflate', '*', 'deflate', 'br', 'zstd', '');

# An origin that gives the first of the codings it knows which is accepted.
my $fetches = 0;
$t->origin_auto(sub {
    my $request = shift;
    my ($known) = $request->{target} =~ m{/smart/([a-z-]+)};
    my $accepted = $request->header('Accept-Encoding') // '';
    my ($coding) = grep { $accepted =~ /\b$_\b(?!;q=0(?:\.0+)?(?:,|$))/ } split /-/, $known;
    $fetches++;
    return (200, { 'Cache-Control' => 'max-age=60', Vary => 'Accept-Encoding', $coding ? ('Content-Encoding' => $coding) : () },
            $coding // 'plain');
}, 2);
for (['gzip', 2], ['br-gzip', 3], ['gzip-br', 3], ['none', 1]) {
    my ($known, $most) = @$_;
    for my $turn (0 .. $#today) {
        my @order = (@today[$turn .. $#today], @today[0 .. $turn - 1]);
        @order = reverse @order if $turn % 2;
        my ($before, @wrong) = $fetches;
        for my $accepted (@order) {
            my $body = $t->get("/smart/$known/$turn", accepts($accepted))->{body};
            push @wrong, "$body for " . ($accepted // 'nothing')
                if $body ne 'plain' && ($accepted // '') !~ /\b$body\b|[*]/;
        }
        $t->get("/smart/$known/$turn", accepts($_)) for @order;
        is "@wrong", '', "an origin that knows $known, first " . ($order[0] // 'nothing') . ': nobody gets what he does not accept';
        cmp_ok $fetches - $before, '<=', $most, "at most $most copies";
    }
}

$t->finish;
done_testing;
