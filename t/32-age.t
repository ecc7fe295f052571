# SPDX-License-Identifier: Apache-2.0
# t/32-age.t. How long a response is fresh (RFC 9111, section 4.2.1) and how old it is
# (section 4.2.3), as ttl in Cache-Status tells it when the response is stored.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', origins => 2);
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
ProxyPass /by-hand/ @ORIGIN2@/
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my $serial = 0;

# The date so many seconds from now, as mod_devcache's clock has it.
sub date_in { return DevCache::Origin::http_date(DevCache::Origin::now() + $_[0]) }

# About what it should be: seconds pass while a test runs, and a Date knows whole ones only.
sub is_about {
    my ($got, $want, $name) = @_;
    my $ok = defined $got && $got =~ /^-?\d+$/ && abs($got - $want) < 5;
    ok $ok, $name or diag 'not about ' . $want . ': ' . ($got // 'undef');
}

# The lifetime left when stored, undef if it is not stored.
sub ttl_of {
    my $res = shift;
    return $res->header('Cache-Status') =~ /; ttl=(-?\d+); stored/ ? $1 : undef;
}

sub lives {
    my ($seconds, $name, @answer) = @_;
    my $path = '/p' . ++$serial;
    is_about(ttl_of($site->ask($path, \@answer)), $seconds, "$name: fresh for $seconds s");
    my $hit = $site->ask($path, \@answer);
    is $hit->{fetches}, 0, "$name: and is a hit";
    return $hit;
}

sub not_fresh {
    my ($name, @answer) = @_;
    my $path = '/p' . ++$serial;
    $site->ask($path, \@answer);
    is $site->ask($path, \@answer)->{fetches}, 1, "$name: not fresh";
}

# s-maxage over max-age over Expires.
lives(60, 's-maxage over all', 200, 'Cache-Control' => 'max-age=1000, s-maxage=60',
    Expires => date_in(2000));
lives(60, 'max-age over Expires', 200, 'Cache-Control' => 'max-age=60', Expires => date_in(2000));
lives(60, 'max-age over an Expires that is past', 200, 'Cache-Control' => 'max-age=60',
    Expires => date_in(-60));
lives(60, 'max-age over an invalid Expires', 200, 'Cache-Control' => 'max-age=60', Expires => '0');
not_fresh('max-age=0 over Expires', 200, 'Cache-Control' => 'max-age=0', Expires => date_in(2000));
not_fresh('s-maxage=0 over max-age', 200, 'Cache-Control' => 'max-age=60, s-maxage=0',
    ETag => '"e"');
lives(500, 'Expires, with directives that say nothing of time', 200,
    'Cache-Control' => 'public, x=1',
    Expires => date_in(500));

# Expires, in each of the three forms of a date, and in any that is none.
my $in_time = date_in(1000);
my ($day, $month, $year, $clock) = $in_time =~ /, (\d\d) (\w+) \d\d(\d\d) (\S+) /;
my %full = (Sun => 'Sunday', Mon => 'Monday', Tue => 'Tuesday', Wed => 'Wednesday',
    Thu => 'Thursday',
    Fri => 'Friday', Sat => 'Saturday');
my $weekday = substr $in_time, 0, 3;
my $asctime = sprintf '%s %s %2d %s 20%s', $weekday, $month, $day, $clock, $year;
lives(1000, "Expires: $_", 200, Expires => $_)
    for $in_time, lc $in_time, uc $in_time, "$full{$weekday}, $day-$month-$year $clock GMT",
    $asctime;
my @invalid = (
    'another time zone' => $in_time =~ s/GMT/EST/r,
    'a numeric zone'    => $in_time =~ s/GMT/+0000/r,
    'UTC'               => $in_time =~ s/GMT/UTC/r,
    'Z'                 => $in_time =~ s/ GMT/Z/r,
    'no zone'           => $in_time =~ s/ GMT//r,
    'no comma'          => $in_time =~ s/,//r,
    'two spaces'        => $in_time =~ s/, /,  /r,
    'no weekday'        => $in_time =~ s/^\w+, //r,
    'something behind'  => "$in_time+1",
    'text behind'       => "$in_time; x",
    'hyphens'           => $in_time =~ s/ (\w{3}) /-$1-/r,
    'a month in full'   => $in_time =~ s/ \w{3} (?=\d{4})/ December /r,
    'day 32'            => $in_time =~ s/, \d\d/, 32/r,
    'hour 24'           => $in_time =~ s/\d\d:\d\d:\d\d/24:00:00/r,
    'one-digit hours'   => $in_time =~ s/\d(\d:\d\d:\d\d)/$1/r,
    'no seconds'        => $in_time =~ s/:\d\d GMT/ GMT/r,
    'a short year'      => $in_time =~ s/ 20(\d\d)/ $1/r,
    'RFC 850, a short weekday' => "$weekday, $day-$month-$year $clock GMT",
    'asctime with a zone'      => "$asctime GMT",
    '0'                 => '0',
    '-1'                => '-1',
    'a number'          => '4102444800',
    'a word'            => 'never',
    'nothing'           => '',
    'a date in quotes'  => qq{"$in_time"},
    'ISO 8601'          => '2099-01-01T00:00:00Z',
);
while (my ($name, $value) = splice @invalid, 0, 2) {
    not_fresh("Expires, $name", 200, Expires => $value, ETag => '"e"');
}
not_fresh('Expires in the past', 200, Expires => date_in(-1), ETag => '"e"');
not_fresh('Expires that is Date', 200, Expires => $in_time, Date => $in_time, ETag => '"e"');
lives(1000, 'Expires twice the same', 200, Expires => $in_time, Expires => $in_time);
not_fresh('Expires twice, not the same', 200, Expires => $in_time, Expires => date_in(5),
    ETag => '"e"');
not_fresh('an invalid Expires, and no guess by Last-Modified', 200, Expires => '0',
    'Last-Modified' => date_in(-100_000));

# Expires counts from Date.
lives(50, 'Expires 100 s after a Date 50 s ago', 200, Date => date_in(-50), Expires => date_in(50));
lives(60, 'Expires 60 s after a Date to come', 200, Date => date_in(1000),
    Expires => date_in(1060));
not_fresh('Expires before a Date to come', 200, Date => date_in(1000), Expires => date_in(900),
    ETag => '"e"');

# Date: what it tells of the age.
my $hit = lives(20, 'Date 40 s ago', 200, 'Cache-Control' => 'max-age=60', Date => date_in(-40));
is_about($hit->header('Age'), 40, 'and Age says so');
$hit = lives(60, 'Date 40 s to come', 200, 'Cache-Control' => 'max-age=60', Date => date_in(40));
is_about($hit->header('Age'), 0, 'no negative Age');
lives(60, "Date: $_", 200, 'Cache-Control' => 'max-age=60', Date => $_)
    for 'yesterday', '0', $in_time =~ s/GMT/XYZ/r, $in_time =~ s/, \d\d/, 32/r;
not_fresh('Date older than max-age', 200, 'Cache-Control' => 'max-age=60', Date => date_in(-70));
for my $date (undef, 'Thu, 32 Jan 2026 00:00:00 GMT') {
    my $path = '/by-hand/' . ++$serial;
    my $req = $t->send_req($path);
    my $fetch = $t->origin(2)->accept;
    $fetch->reply(200, [Date => $date, Expires => date_in(80)], 'x');
    my $name = $date // 'no Date';
    is_about(ttl_of($req->response), 80, "$name: as if generated when it came");
    $t->clock_advance(30);
    is_about($t->get($path)->header('Age'), 30, "$name: and aged since");
}

# Age: a list, parameters, nonsense.
my @ages = ('10' => 50, '0010' => 50, '10, 20' => 50, '20, 10' => 40, '10,' => 50, ', 10' => 50,
    '10 ' => 50,
    '10;x=1' => 60, '10 20' => 60, '-10' => 60, '+10' => 60, '1e1' => 60, '10.5' => 60, 'x' => 60,
    '"10"' => 60,
    '' => 60, 'x, 10' => 60);
while (my ($age, $left) = splice @ages, 0, 2) {
    $hit = lives($left, "Age: $age", 200, 'Cache-Control' => 'max-age=60', Age => $age);
    is_about($hit->header('Age'), 60 - $left, "Age: $age: shown as that of the hit");
}
lives(50, 'Age twice', 200, 'Cache-Control' => 'max-age=60', Age => 10, Age => 20);
lives(20, 'Age and an older Date', 200, 'Cache-Control' => 'max-age=60', Age => 10,
    Date => date_in(-40));
lives(20, 'Age, older than Date', 200, 'Cache-Control' => 'max-age=60', Age => 40,
    Date => date_in(-10));
not_fresh("Age: $_", 200, 'Cache-Control' => 'max-age=60', Age => $_)
    for 60, 2147483647, 2147483648, 4294967296, '99999999999999999999999999';

# The time that the fetch took (response_delay) makes it older.
for my $age (0, 10) {
    my $path = '/by-hand/' . ++$serial;
    my $req = $t->send_req($path);
    my $fetch = $t->origin(2)->accept;
    $t->clock_advance(30);
    $fetch->reply(200, { 'Cache-Control' => 'max-age=60', Age => $age }, 'x');
    is_about(ttl_of($req->response), 30 - $age, "30 s on its way, Age: $age");
    is_about($t->get($path)->header('Age'), 30 + $age, "30 s on its way, Age: $age: Age of a hit");
}

# Guesses by Last-Modified: a tenth of the time since, at most an hour (DevCacheHeuristic), by status.
my @modified = ('Last-Modified' => date_in(-1000));
lives(100, "$_ by Last-Modified", $_, @modified)
    for 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501;
not_fresh("$_ by Last-Modified", $_, @modified)
    for 201, 202, 205, 299, 302, 303, 307, 400, 401, 403, 409, 451, 499, 500, 502, 503, 504, 599;
lives(100, "$_ by Last-Modified, marked public", $_, @modified, 'Cache-Control' => 'public')
    for 200, 201, 299, 302, 307, 403, 599;
not_fresh("$_ by Last-Modified, marked public", $_, @modified, 'Cache-Control' => 'public')
    for 400, 500, 502, 503, 504;
lives(100, "by Last-Modified, $_", 200, @modified, 'Cache-Control' => $_)
    for 'must-revalidate', 'x=1', 'no-transform';
lives(3600, 'by Last-Modified a year ago', 200, 'Last-Modified' => date_in(-365 * 86400));
not_fresh('by Last-Modified to come', 200, 'Last-Modified' => date_in(1000));
not_fresh("by Last-Modified: $_", 200, 'Last-Modified' => $_) for 'yesterday', '0', '';
not_fresh('by an ETag alone', 200, ETag => '"e"');
$site->ask('/query?q', [200, @modified]);
is $site->ask('/query?q', [304])->{fetches}, 1, 'no guess for a URL with a query';

# A clock that is set back makes nothing younger than it was.
my $path = '/p' . ++$serial;
$site->ask($path, [200, 'Cache-Control' => 'max-age=60', Age => 10]);
$t->clock_advance(-200);
is_about($site->ask($path)->header('Age'), 10, 'the clock set back: Age is what it came with');
$t->clock_advance(-200);
is $site->ask($path)->{fetches}, 1, 'set back by more than a request takes: validated';

$t->finish;
done_testing;
