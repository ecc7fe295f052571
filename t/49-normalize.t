# SPDX-License-Identifier: Apache-2.0
# t/49-normalize.t. DevCacheNormalize: visitors who want the same of what there is share a page, and
# the origin is told no more than the key is.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my %wrong = (
    'DevCacheNormalize' => qr/give a header and the values/,
    'DevCacheNormalize Accept-Language' => qr/give a header and the values/,
    'DevCacheNormalize "a b" c' => qr/'a b' is not a header name/,
    'DevCacheNormalize Cookie a' => qr/Cookie is the visitor's own; see DevCacheBypass/,
    'DevCacheNormalize if-match a' => qr/if-match is about the message/,
    'DevCacheNormalize Accept-Language de,en' => qr/'de,en' is not one value; put blanks between them/,
);
for my $line (sort keys %wrong) {
    like(DevCache::Test->start_error($line), $wrong{$line}, "refused: $line");
}

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite']);
DevCacheNormalize Accept-Language de en
DevCacheNormalize X-Country AT CH
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
    DevCacheStaleWhileRevalidate 60
</Location>
<Location "/images/">
    DevCacheNormalize Accept image/avif image/webp
</Location>
<Location "/plain/">
    DevCacheNormalize off
</Location>
<Location "/keyed/">
    DevCacheKeyHeaders X-Country
</Location>
<Location "/off/">
    DevCache Off
</Location>
LogFormat "%U %{Accept-Language}i" language
CustomLog "@DIR@/language.log" language
ProxyPass / @ORIGIN@/
CONF
my $auto = $t->origin_auto(sub {
    my $req = shift;
    my $varies = $req->{target} =~ m{/novary} ? {} : { Vary => 'Accept-Language, Accept, X-Country' };
    return (200, { 'Cache-Control' => 'max-age=60', ETag => '"e"', %$varies },
        join ' ', map { $req->header($_) // '-' } qw(Accept-Language Accept X-Country));
});

# What is asked for, what the origin saw, and how it was answered: hit or miss.
sub asks {
    my ($path, $fields, $body, $how) = @_;
    my $got = $t->get($path, 'User-Agent' => PC, @$fields);
    my ($name) = "$path with @$fields";
    is $got->{body}, $body, "$name: the page";
    like $got->header('Cache-Status'), $how eq 'hit' ? qr/; hit/ : qr/fwd=/, "… $how";
    return $got;
}
my @german = ('Accept-Language' => 'de-DE,de;q=0.9,en;q=0.8');
my @austrian = ('Accept-Language' => 'de-AT, de;q=0.7');
my @american = ('Accept-Language' => 'en-US,en;q=0.5');
my @french = ('Accept-Language' => 'fr-FR,fr;q=0.9');

asks '/a', \@german,   'de - -', 'miss';
asks '/a', \@austrian, 'de - -', 'hit';
asks '/a', \@american, 'en - -', 'miss';
asks '/a', \@french,   '- - -',  'miss';
asks '/a', [],         '- - -',  'hit';
asks '/a', ['Accept-Language' => 'fr', 'Accept-Language' => 'en-GB'], 'en - -', 'hit';
asks '/a', [@german, 'X-Country' => 'at'], 'de - AT', 'miss';
asks '/a', [@german, 'X-Country' => 'FR'], 'de - -',  'hit';
like asks('/a', \@german, 'de - -', 'hit')->header('Vary'), qr/^Accept-Language,/, 'Vary stays';
asks '/novary', \@german, 'de - -', 'miss';
asks '/novary', \@french, 'de - -', 'hit';

asks '/images/a', ['Accept' => 'image/avif,image/webp,*/*;q=0.8', @german],
    'de-DE,de;q=0.9,en;q=0.8 image/avif -', 'miss';
asks '/images/a', ['Accept' => 'image/webp, image/avif', @german],
    'de-DE,de;q=0.9,en;q=0.8 image/avif -', 'hit';
asks '/images/a', ['Accept' => '*/*', @german], 'de-DE,de;q=0.9,en;q=0.8 - -', 'miss';
asks '/plain/a', \@german, 'de-DE,de;q=0.9,en;q=0.8 - -', 'miss';
asks '/plain/a', \@austrian, 'de-AT, de;q=0.7 - -', 'miss';
asks '/keyed/novary', ['X-Country' => 'at'], '- - AT', 'miss';
asks '/keyed/novary', ['X-Country' => 'AT'], '- - AT', 'hit';
asks '/keyed/novary', ['X-Country' => 'xx'], '- - -', 'miss';
is $t->get('/off/a', @austrian)->{body}, 'de-AT, de;q=0.7 - -', 'DevCache Off: as it came';

# Validation, in the foreground and in the background.
my @asked = grep { $_->[1] eq '/a' } $auto->requests;
$t->clock_advance(61);
asks '/a', \@austrian, 'de - -', 'hit';
$t->wait_counter(refreshes => 1);
my @since = grep { $_->[1] eq '/a' } $auto->requests;
is $since[-1][2]{'accept-language'}, 'de', 'a refresh asks as the visitor did';
is @since, @asked + 1, 'once';
is $t->get('/a', 'User-Agent' => PC, @austrian, 'If-None-Match' => '"e"')->{status}, 304,
    "the client's own conditions hold";
asks '/a', \@german, 'de - -', 'hit';

ok wait_until(sub {
    open my $in, '<', $t->dir . '/language.log' or return 0;
    return scalar grep { $_ eq "/a de-AT, de;q=0.7\n" } <$in>;
}), 'the access log has what the client sent';

$t->finish;
done_testing;
