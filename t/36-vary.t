# SPDX-License-Identifier: Apache-2.0
# t/36-vary.t. Which requests share a variant (RFC 9111, section 4.1): values that mean the same
# in another spelling do, all others do not; a URL's variants grow, are bounded, and none
# hides the others.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF');
DevCacheKnownHeaders X-A X-B X-C
<Location "/">
    DevCache On
    DevCacheEncodings keep
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
<Location "/three/">
    DevCacheMaxVariants 3
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
sub varies { return [200, 'Cache-Control' => 'max-age=60', map { (Vary => $_) } @_] }
sub status_of { return $_[0]->header('Cache-Status') =~ /^devcache; (hit|fwd=[\w-]+)/ ? $1 : undef }

# Lines of a field in a request: none, one, several.
sub lines {
    my ($name, $values) = @_;
    return map { ($name => $_) } ref $values ? @$values : $values;
}
sub shown { return ref $_[0] ? join ' | ', @{ $_[0] } : defined $_[0] ? "'$_[0]'" : 'none' }

# Each group is one variant, and no two groups are.
my %groups = (
    'Accept-Encoding' => [
        ['gzip, deflate, br', 'gzip,deflate,br', 'br , deflate,gzip', 'GZIP, Deflate, bR',
            'gzip;q=1, deflate;q=1.000, br;q=1.', 'gzip ; q=1.0, deflate, br',
            'x-gzip, deflate, br', ',gzip,, deflate, br,', 'gzip, deflate, gzip, br',
            ['gzip', 'deflate, br'], ['br', '', 'deflate', 'gzip']],
        ['gzip, br;q=0.5', 'br;q=0.5, gzip', 'br;q=0.50,gzip;q=1.0', 'gzip,br;Q=0.500',
            'br; q=0.5, x-gzip'],
        ['gzip', 'gzip;q=1', 'x-gzip'], ['br'], ['gzip;q=0.5'], ['gzip, deflate'], ['gzip;q=0'],
        ['gzip;q=0, deflate, br', 'br, gzip;q=0.000, deflate'],
        ['*'], ['*;q=0'], ['gzip, *;q=0', '*;q=0.0, gzip'], ['identity'], ['gzip, identity;q=0'],
        [''], [undef],
        # what is malformed is what it is
        ['gzip;q=2'], ['gzip;q=x'], ['gzip;q=-1'], ['gzip;level=9'], ['gzip;q=0.5555'],
        ['gzip deflate'],
        ['gzip, gzip;q=0.5'], ['"gzip"'], ['gz ip'],
    ],
    'Accept-Language' => [
        ['en-GB, en;q=0.8, de;q=0.5', 'EN-gb,en;q=0.80,de;q=0.500',
            'de;q=0.5, en-GB;q=1.0, en;q=0.8',
            ['en-GB', 'de;q=0.5', 'en;q=0.8']],
        ['en, de', 'de, en', ['en', 'de']],
        ['en-GB'], ['en', 'en;q=1'], ['de'], ['en-GB, en'], ['en;q=0.8'], ['en, de;q=0.8'],
        ['de, en;q=0.8'],
        ['*'], ['en, *;q=0.1'], [''], [undef], ['en_GB'], ['en;q=11'], ['en;x'],
    ],
    # of others no more is known than that they are lists
    'X-Own' => [
        ['a, b', 'a,b', "a\t, \tb", ['a', 'b']], ['b, a'], ['A, b'], ['a b'], ['a'], ['a,,b'],
        ['"a, b"'], ['"a,b"'], [''], [undef],
    ],
    # httpd joins lines by a comma, whatever the field; so the origin sees them
    'Cookie' => [['a=1; b=2', 'b=2; a=1', ' a=1 ;b=2;'], ['a=1; a=2'], ['a=2; a=1'], ['a=1'], ['a=1, b=2', ['a=1', 'b=2']], [undef]],
);
for my $name (sort keys %groups) {
    my ($path, $vary) = ("/group/$name", varies(uc $name));
    my %body;
    for my $group (@{ $groups{$name} }) {
        my $first = $site->ask($path, $vary, lines($name, $group->[0]));
        is $first->{fetches}, 1, "$name, " . shown($group->[0]) . ': a variant of its own';
        for my $value (@$group) {
            my $res = $site->ask($path, $vary, lines($name, $value));
            is $res->{body}, $first->{body}, "$name, " . shown($value) . ': has it';
            is $res->{fetches}, 0, '… from the cache';
        }
        $body{ $first->{body} } = 1;
    }
    is scalar(keys %body), @{ $groups{$name} }, "$name: as many pages as meanings";
}

# The list of names grows. What is stored by fewer stays, and is used for those whom it fits.
my @growing = (['X-A'], ['X-A, X-B'], ['x-b', 'X-C', 'X-A']);
my @who = map { ['X-A' => $_, 'X-B' => $_, 'X-C' => $_] } 0 .. 2;
is status_of($site->ask('/grows', varies(@{ $growing[0] }), @{ $who[0] })), 'fwd=uri-miss',
    'the first of a URL';
is status_of($site->ask('/grows', varies(@{ $growing[$_] }), @{ $who[$_] })), 'fwd=vary-miss',
    "stored by $_ more" for 1, 2;
is status_of($site->ask('/grows', undef, @{ $who[$_] })), 'hit', "number $_ is a hit" for 0 .. 2;
is status_of($site->ask('/grows', undef, 'X-A' => 0, 'X-B' => 9)), 'hit',
    'where X-A alone counts, X-B does not';
is status_of($site->ask('/grows', varies(@{ $growing[2] }), @{ $who[2] }, 'X-C' => 9)), 'fwd=vary-miss',
    'where it counts it does';

# An answer without Vary for a URL that had it: others keep theirs.
my %own = map { $_ => $site->ask('/orphans', varies('X-A'), 'X-A' => $_)->{body} } 1 .. 3;
my $plain = $site->ask('/orphans', [404, 'Cache-Control' => 'max-age=60', ':body' => 'nothing here'],
    'X-A' => 4);
is $plain->{body}, 'nothing here', 'an answer without Vary';
is $site->ask('/orphans', [500], 'X-A' => $_)->{body}, $own{$_}, "variant $_ is still there" for 1 .. 3;
is $site->ask('/orphans', [500], 'X-A' => 5)->{body}, 'nothing here', 'it is for who has none';
is $site->ask('/orphans', [500])->{body}, 'nothing here', 'or says nothing';

# Never more of one URL than DevCacheMaxVariants, the newest of them, and other URLs untouched.
$site->ask('/three/other', varies('X-A'), 'X-A' => $_) for 1 .. 3;
for my $n (1 .. 12) {
    $site->ask('/three/p', varies('X-A'), 'X-A' => $n);
    is $site->ask('/three/p', [500], 'X-A' => $n)->{fetches}, 0, "variant $n of 12 is stored";
}
my $unstored = [200, 'Cache-Control' => 'no-store'];
my @there = grep { !$site->ask('/three/p', $unstored, 'X-A' => $_)->{fetches} } 1 .. 12;
is "@there", '10 11 12', 'the last three are there';
is $site->ask('/three/other', [500], 'X-A' => $_)->{fetches}, 0, "another URL has its variant $_"
    for 1 .. 3;

# Vary: * is never stored, and leaves what is.
my $kept = $site->ask('/star', varies('X-A'), 'X-A' => 1)->{body};
$site->ask('/star', varies('*'), 'X-A' => 2) for 1 .. 2;
is $site->ask('/star', varies('X-A, *'), 'X-A' => 2)->{fetches}, 1, 'Vary: * is not stored';
is $site->ask('/star', [500], 'X-A' => 1)->{body}, $kept, 'nor does it hide what was';

# A 304 that widens Vary makes a narrower variant of the stored one.
$site->ask('/widened', [200, 'Cache-Control' => 'max-age=10', ETag => '"w"', ':body' => 'w'], 'X-A' => 1);
is $site->ask('/widened', [500], 'X-A' => 2)->{fetches}, 0, 'for all';
$t->clock_advance(11);
$site->ask('/widened', [304, 'Cache-Control' => 'max-age=10', ETag => '"w"', Vary => 'X-A'], 'X-A' => 1);
is $site->ask('/widened', [500], 'X-A' => 1)->{body}, 'w', 'a 304 with Vary: X-A: for 1 it is fresh';
is $site->ask('/widened', [200, ':body' => 'x'], 'X-A' => 2)->{fetches}, 1, 'not for 2';

# A coding is given to those who accept it, also where the origin does not say Vary.
for my $first (['Accept-Encoding' => 'gzip, br'], []) {
    my $path = '/coded/' . (@$first ? 1 : 2);
    my @zipped = (200, 'Cache-Control' => 'max-age=60', 'Content-Encoding' => 'gzip', ':body' => 'zipped');
    my @clear = (200, 'Cache-Control' => 'max-age=60', ':body' => 'clear');
    is $site->ask($path, [@zipped], 'Accept-Encoding' => 'gzip, br')->{body}, 'zipped', 'a coding without Vary';
    is $site->ask($path, [@clear])->{body}, 'clear', 'is not for who cannot decode it';
    is $site->ask($path, [500], 'Accept-Encoding' => 'gzip, br')->{body}, 'zipped', 'but for who can';
    is $site->ask($path, [500])->{body}, 'clear', 'each has its own';
}

# The platform is not the class: a download for macOS is not one for Windows.
for my $name ('Sec-CH-UA-Platform', 'Sec-CH-UA-Form-Factors') {
    my @varied = (200, 'Cache-Control' => 'max-age=60', Vary => $name);
    my %value = ('Sec-CH-UA-Platform' => ['"Windows"', '"macOS"'],
                 'Sec-CH-UA-Form-Factors' => ['"Desktop"', '"XR"']);
    my ($one, $other) = @{ $value{$name} };
    is $site->ask("/hint/$name", [@varied, ':body' => $one], $name => $one)->{body}, $one, "$name: $one";
    is $site->ask("/hint/$name", [@varied, ':body' => $other], $name => $other)->{body}, $other, "not for $other";
    is $site->ask("/hint/$name", [500], $name => $one)->{body}, $one, 'and each is stored';
}
is $site->ask('/hint/m', [200, 'Cache-Control' => 'max-age=60', Vary => 'Sec-CH-UA-Mobile', ':body' => 'm'],
    'Sec-CH-UA-Mobile' => '?0')->{body}, 'm', 'whether it is a phone is the class';
is $site->ask('/hint/m', [500])->{body}, 'm', 'so it is one copy';

# What mod_proxy adds after we have looked is compared as it is sent.
{
    my @by_address = (200, 'Cache-Control' => 'max-age=60', Vary => 'X-Forwarded-For');
    is $site->ask('/address', [@by_address, ':body' => 'office'])->{body}, 'office', 'a page for an address';
    is $site->ask('/address', [500])->{body}, 'office', 'is stored for that';
    is $site->ask('/address', [@by_address, ':body' => 'said'], 'X-Forwarded-For' => '127.0.0.1')->{body}, 'said',
        'nor for who only says so';
    isnt $t->curl('--interface', '127.0.0.2', '/address')->{body}, 'office', 'nor for another';
}

# Misses are counted by why they are.
{
    my $before = $t->counters;
    $site->ask('/why', [200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Language'], 'Accept-Language' => 'de');
    $site->ask('/why', [200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Language'], 'Accept-Language' => 'en');
    my $after = $t->counters;
    is $after->{'reason_uri-miss'} - $before->{'reason_uri-miss'}, 1, 'nothing was there: uri-miss';
    is $after->{reason_vary} - $before->{reason_vary}, 1, 'something else was there: vary';
}

$t->finish;
done_testing;
