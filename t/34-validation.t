# SPDX-License-Identifier: Apache-2.0
# t/34-validation.t. Conditional requests (RFC 9110, section 13; RFC 9111, section 4.3): those
# of clients to what is stored, our own to the origin, and what a 304 or a HEAD does to a
# stored response.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
<Location "/cookies/">
    DevCacheStoreSetCookie On
</Location>
ProxyPass / @ORIGIN@/
CONF
$t->expect_log(qr/DC0180: .*DevCacheStoreSetCookie On/);
my $site = DevCache::Told->new($t);

my ($before, $monday, $after) = map { "$_ Jan 2024 00:00:00 GMT" } 'Sun, 07', 'Mon, 08', 'Tue, 09';
my $serial = 0;
sub seen { return $site->last_request->[2]{ $_[0] } }
sub says { return [200, 'Cache-Control' => @_] }

# Store something that lives 10 seconds, with these fields; its path.
sub stored {
    my ($fields, $prefix) = @_;
    my $path = ($prefix // '/p') . ++$serial;
    $site->ask($path, says('max-age=10', ':body' => 'stored', @$fields));
    return $path;
}

sub stale { my $path = stored(@_); $t->clock_advance(11); return $path }

# --- what the origin is asked ----------------------------------------------------------------

my @validators = (
    ['a strong ETag',       ['"a"', undef],          ETag => '"a"'],
    ['a weak ETag',         ['W/"a"', undef],        ETag => 'W/"a"'],
    ['Last-Modified',       [undef, $monday],        'Last-Modified' => $monday],
    ['both',                ['"a"', $monday],        ETag => '"a"', 'Last-Modified' => $monday],
    ['an empty ETag',       ['""', undef],           ETag => '""'],
    ['a tag with odd characters', ['"a,b/\\*"', undef], ETag => '"a,b/\\*"'],
    ["a compressing filter's ETag", ['"a-gzip", "a"', undef], ETag => '"a-gzip"'],
    ["the same, weak",      ['W/"a-br", W/"a"', undef], ETag => 'W/"a-br"'],
    ['no ETag',             [undef, $monday],        ETag => 'a', 'Last-Modified' => $monday],
    ['an ETag of *',        [undef, undef],          ETag => '*'],
    ['two ETags',           [undef, undef],          ETag => '"a"', ETag => '"b"'],
    ['a list as an ETag',   [undef, undef],          ETag => '"a", "b"'],
    ['no date',             [undef, undef],          'Last-Modified' => 'yesterday'],
    ['nothing',             [undef, undef]],
);
for (@validators) {
    my ($name, $sent, @fields) = @$_;
    my $path = stale(\@fields);
    my $new = $site->ask($path, says('max-age=10', ':body' => 'new'),
        map { ($_ => '"client"') } qw(If-None-Match If-Modified-Since If-Range));
    is_deeply [map { seen($_) } 'if-none-match', 'if-modified-since'], $sent, "validated by $name";
    is seen('if-range'), undef, 'and by nothing else';
    is $new->{body}, 'new', 'a 200 takes its place';
}

# On a miss the origin is asked for the whole; only what it alone can judge goes there.
for my $field ('If-None-Match', 'If-Modified-Since') {
    my $path = '/p' . ++$serial;
    my $value = $field =~ /Match/ ? '"a"' : $monday;
    my $whole = says('max-age=10', ETag => '"a"', 'Last-Modified' => $monday, ':body' => 'whole');
    my $res = $site->ask($path, $whole, $field => $value);
    is seen(lc $field), undef, "a miss with $field: the origin is not asked so";
    is "$res->{status} $res->{body}", '304 ', "a miss with $field: 304";
    is $site->ask($path)->{body}, 'whole', "a miss with $field: stored as a whole";
}
for my $field ('If-Match', 'If-Unmodified-Since') {
    my $path = '/p' . ++$serial;
    my $value = $field =~ /Match/ ? '"a"' : $monday;
    is $site->ask($path, [412, 'Cache-Control' => 'max-age=60'], $field => $value)->{status}, 412,
        "a miss with $field";
    is seen(lc $field), $value, "a miss with $field: the origin judges it";
    is $site->ask($path)->{fetches}, 1, "a miss with $field: nothing stored";
}

# --- conditions of clients on hits -----------------------------------------------------------

# Status expected, fields stored, fields of the request.
my @strong = (ETag => '"a"', 'Last-Modified' => $monday);
my @weak = (ETag => 'W/"a"', 'Last-Modified' => $monday);
my @conditions = (
    [304, \@strong, 'If-None-Match' => '"a"'],
    [304, \@strong, 'If-None-Match' => 'W/"a"'],
    [304, \@weak,   'If-None-Match' => '"a"'],
    [304, \@weak,   'If-None-Match' => 'W/"a"'],
    [304, \@strong, 'If-None-Match' => '"x,y", , "a"'],
    [304, \@strong, 'If-None-Match' => '"x"', 'If-None-Match' => '"a"'],
    [304, \@strong, 'If-None-Match' => '*'],
    [304, [],       'If-None-Match' => '*'],
    [200, \@strong, 'If-None-Match' => '"A"'],
    [200, \@strong, 'If-None-Match' => 'a'],
    [200, \@strong, 'If-None-Match' => '"a'],
    [200, \@strong, 'If-None-Match' => 'w/"a"'],
    [200, [],       'If-None-Match' => '"a"'],

    # If-None-Match decides, whatever If-Modified-Since says.
    [200, \@strong, 'If-None-Match' => '"x"', 'If-Modified-Since' => $after],
    [304, \@strong, 'If-None-Match' => '"a"', 'If-Modified-Since' => $before],
    [200, \@strong, 'If-None-Match' => 'x', 'If-Modified-Since' => $monday],
    [200, ['Last-Modified' => $monday], 'If-None-Match' => '"a"', 'If-Modified-Since' => $monday],

    [304, \@strong, 'If-Modified-Since' => $monday],
    [304, \@strong, 'If-Modified-Since' => $after],
    [200, \@strong, 'If-Modified-Since' => $before],
    [304, \@strong, 'If-Modified-Since' => 'Monday, 08-Jan-24 00:00:00 GMT'],
    [304, \@strong, 'If-Modified-Since' => 'Mon Jan  8 00:00:00 2024'],
    [200, \@strong, 'If-Modified-Since' => $monday =~ s/GMT/EST/r],
    [200, \@strong, 'If-Modified-Since' => $after =~ s/,//r],
    [200, \@strong, 'If-Modified-Since' => "$after, $after"],
    [304, [Date => DevCache::Origin::http_date(DevCache::Origin::now())],
        'If-Modified-Since' => 'Sun, 01 Jan 2040 00:00:00 GMT'],
    [200, [],       'If-Modified-Since' => $monday],

    [200, \@strong, 'If-Match' => '"a"'],
    [200, \@strong, 'If-Match' => '"x", "a"'],
    [200, \@strong, 'If-Match' => '*'],
    [412, \@strong, 'If-Match' => '"x"'],
    [412, \@strong, 'If-Match' => 'W/"a"'],
    [412, \@weak,   'If-Match' => 'W/"a"'],
    [412, [],       'If-Match' => '"a"'],

    [200, \@strong, 'If-Unmodified-Since' => $monday],
    [412, \@strong, 'If-Unmodified-Since' => $before],
    [200, \@strong, 'If-Unmodified-Since' => 'yesterday'],
    [200, [],       'If-Unmodified-Since' => $before],

    # The order of RFC 9110, section 13.2.2.
    [412, \@strong, 'If-Match' => '"x"', 'If-None-Match' => '"a"'],
    [304, \@strong, 'If-Match' => '"a"', 'If-None-Match' => '"a"'],
    [200, \@strong, 'If-Match' => '"a"', 'If-Unmodified-Since' => $before],
    [412, \@strong, 'If-Unmodified-Since' => $before, 'If-None-Match' => '"a"'],
    [412, \@strong, 'If-Match' => '"x"', Range => 'bytes=0-1'],
    [304, \@strong, 'If-None-Match' => '"a"', Range => 'bytes=0-1'],
    [206, \@strong, 'If-None-Match' => '"x"', Range => 'bytes=0-1'],

);
for (@conditions) {
    my ($status, $fields, @request) = @$_;
    my $path = stored($fields);
    my $name = join ', ', map { "$request[2 * $_]: $request[2 * $_ + 1]" } 0 .. @request / 2 - 1;
    for my $method ('GET', 'HEAD') {
        next if $method eq 'HEAD' && $name =~ /Range/;   # RFC 9110, section 14.2
        my $res = $site->ask($path, [500], ':method' => $method, @request);
        is $res->{status} . ($res->{fetches} ? ' fetched' : ''), $status, "$method, $name";
    }
}

# Only what is successful has conditions.
my $gone = '/p' . ++$serial;
$site->ask($gone, [404, 'Cache-Control' => 'max-age=60', ETag => '"a"', ':body' => 'gone']);
is $site->ask($gone, [500], @$_)->{status}, 404, "$_->[0] does not count for a 404"
    for ['If-None-Match' => '"a"'], ['If-Match' => '"x"'];

# The fields of a 304 (RFC 9110, section 15.4.5).
my @described = (ETag => '"a"', 'Content-Location' => '/own', Vary => 'X-A',
    Expires => 'Sun, 01 Jan 2040 00:00:00 GMT',
    Date => DevCache::Origin::http_date(DevCache::Origin::now() - 5));
my $path = stored(\@described);
my $not_modified = $site->ask($path, [500], 'If-None-Match' => '"a"');
is $not_modified->header($described[2 * $_]), $described[2 * $_ + 1], "a 304 has $described[2 * $_]"
    for 0 .. @described / 2 - 1;
is $not_modified->header('Cache-Control'), 'max-age=10', 'a 304 has Cache-Control';
like $not_modified->header('Age'), qr/^[56789]$/, 'a 304 has Age';
like $not_modified->header('Cache-Status'), qr/^devcache; hit; /, 'a 304 has Cache-Status';
is $not_modified->header($_), undef, "a 304 has no $_" for 'Content-Length', 'Content-Type';

# --- what a 304 does -------------------------------------------------------------------------

# Status and body for the client, and which of our own answers it takes: the origin's 304 and a
# condition of the client's are two things.
my @same_tag = ('If-None-Match' => '"a"');
my @part = (Range => 'bytes=0-1');
my $confirms = [304, ETag => '"a"'];
my $new = [200, ETag => '"b"', ':body' => 'new'];
my @both = (
    ['304 and no condition',            $confirms, [],                         '200 stored'],
    ['304 and the same tag',            $confirms, \@same_tag,                 '304 '],
    ['304 and another tag',             $confirms, ['If-None-Match' => '"x"'], '200 stored'],
    ['304 and If-Match',                $confirms, ['If-Match' => '"a"'],      '200 stored'],
    ['304 and a range',                 $confirms, \@part,                     '206 st'],
    ['304 and a range, If-Range holds', $confirms, [@part, 'If-Range' => '"a"'], '206 st'],
    ['304 and a range, If-Range fails', $confirms, [@part, 'If-Range' => '"x"'], '200 stored'],
    ['304 and a reload', $confirms, [@same_tag, 'Cache-Control' => 'max-age=0'], '304 '],
    ['200 and no condition',            $new, [],                              '200 new'],
    ['200 and the old tag',             $new, \@same_tag,                      '200 new'],
    ['200 and the new tag',             $new, ['If-None-Match' => '"b"'],      '304 '],
    ['200 and a range',                 $new, \@part,                          '206 ne'],
    ['404',                             [404, ':body' => 'gone'], \@same_tag,  '404 gone'],
);
for (@both) {
    my ($name, $answer, $request, $want) = @$_;
    $path = stale([ETag => '"a"']);
    my $res = $site->ask($path, [@$answer, 'Cache-Control' => 'max-age=10'], @$request);
    is "$res->{status} $res->{body}", $want, "origin: $name";
    is seen('if-none-match'), '"a"', 'which was asked by our tag';
    is seen('range'), undef, 'for the whole';
    my $next = $site->ask($path, [500]);
    my $kept = $answer->[0] == 304 ? 'stored' : $answer->[-1];
    is $next->{body} . ($next->{fetches} ? ' fetched' : ''), $kept, 'and is stored as a whole';
}

# It replaces the stored fields, but for those that describe the body or may not be stored.
my @old = (ETag => 'W/"a"', 'X-Old' => 'old', 'X-New' => 'old', 'X-Lines' => 1, 'X-Lines' => 2,
    'Content-Type' => 'text/old', 'Content-Encoding' => 'x-old', 'Content-Language' => 'en',
    'Content-Location' => '/old', Expires => 'Sun, 01 Jan 2040 00:00:00 GMT');
my @new = (ETag => 'W/"a"', 'X-New' => 'new', 'X-Lines' => 3, 'X-Added' => 'added',
    'Content-Type' => 'text/new', 'Content-Encoding' => 'x-new', 'Content-Range' => 'bytes 0-1/2',
    'Content-Length' => 6, 'Content-Location' => '/new', 'Set-Cookie' => 'a=1',
    Connection => 'X-Hop', 'X-Hop' => 1, 'Proxy-Authenticate' => 'x', 'Keep-Alive' => 'timeout=77',
    'Cache-Control' => 'max-age=77, private="X-Mine"', 'X-Mine' => 'mine');
my %now = ('X-Old' => 'old', 'X-New' => 'new', 'X-Lines' => '3', 'X-Added' => 'added',
    'Content-Type' => 'text/old', 'Content-Encoding' => 'x-old', 'Content-Range' => undef,
    'Content-Length' => '6', 'Content-Language' => 'en', 'Content-Location' => '/new',
    ETag => 'W/"a"',
    'Set-Cookie' => undef, 'X-Hop' => undef, 'Proxy-Authenticate' => undef,
    Expires => 'Sun, 01 Jan 2040 00:00:00 GMT', 'Cache-Control' => 'max-age=77, private="X-Mine"',
    'X-Mine' => undef);
$path = stale(\@old);
my $date = DevCache::Origin::http_date(DevCache::Origin::now());
$site->ask($path, [304, @new, Date => $date]);
my $hit = $site->ask($path, [500]);
is $hit->header($_), $now{$_}, "after a 304: $_" for sort keys %now;
is $hit->header('Date'), $date, 'after a 304: its Date';
cmp_ok $hit->header('Age'), '<', 5, 'and an Age that counts from it';
unlike $hit->header('Keep-Alive') // '', qr/77/, 'nor Keep-Alive';
$t->clock_advance(70);
is $site->ask($path, [500])->{fetches}, 0, 'it is as fresh as the 304 says';

$path = stale(['X-Own' => 1, 'Set-Cookie' => 'a=1', ETag => '"a"'], '/cookies/');
$site->ask($path, [304, 'Set-Cookie' => 'a=2']);
is $site->ask($path, [500])->header('Set-Cookie'), 'a=2',
    'DevCacheStoreSetCookie: a 304 renews the cookie';
$path = stale([ETag => '"a"'], '/cookies/');
$site->ask($path, [304, 'Set-Cookie' => 'a=2']);
is $site->ask($path, [500])->header('Set-Cookie'), undef, 'and brings none where there was none';

$path = stale([ETag => '"a"', Age => 5]);
$site->ask($path, [304]);
is $site->ask($path, [500])->{body}, 'stored', 'a 304 that says nothing: the stored lifetime, anew';
$t->clock_advance(8);
is $site->ask($path, [500])->{fetches}, 0, 'without the Age of then';

# It may also take the permission to store.
for my $control ('no-store', 'private', 'max-age=10 private') {
    $path = stale([ETag => '"a"']);
    is $site->ask($path, [304, 'Cache-Control' => $control])->{body}, 'stored',
        "304 with $control: the client is served";
    is $site->ask($path, says('max-age=10', ':body' => 'new'))->{body}, 'new', 'and nobody after that';
    is seen('if-none-match'), undef, 'as it is gone';
}

# A 304 for something else: weak and strong tags, Last-Modified, another variant.
my @same = ([[ETag => '"a"'], [ETag => 'W/"a"']], [[ETag => 'W/"a"'], [ETag => '"a"']],
    [[ETag => '"a"'], []], [['Last-Modified' => $monday], []],
    [[ETag => '"a-gzip"'], [ETag => '"a"']],
    [['Last-Modified' => $monday], ['Last-Modified' => $monday]]);
my @other = ([[ETag => '"a"'], [ETag => '"b"']],
    [['Last-Modified' => $monday], ['Last-Modified' => $after]],
    [['Last-Modified' => $monday], [ETag => '"b"']],
    [[ETag => '"a"', 'Last-Modified' => $monday], [ETag => '"b"', 'Last-Modified' => $monday]]);
for my $case ((map { [1, @$_] } @same), map { [2, @$_] } @other) {
    my ($fetches, $stored, $answer) = @$case;
    $path = stale($stored);
    my $res = $site->ask($path, [304, @$answer, 'Cache-Control' => 'max-age=10']);
    my $with = @$answer ? "@$answer" : 'no validator';
    is $res->{fetches}, $fetches, "@$stored; 304 with $with: "
        . ($fetches == 1 ? 'the same' : 'another, so asked again');
    is seen('if-none-match') // seen('if-modified-since'), undef, 'for the whole' if $fetches == 2;
}
my %language = (en => '"en"', de => '"de"');
$path = '/p' . ++$serial;
for my $name (sort keys %language) {
    my @varied = (Vary => 'Accept-Language', ETag => $language{$name}, ':body' => $name);
    $site->ask($path, says('max-age=10', @varied), 'Accept-Language' => $name);
}
$t->clock_advance(11);
my $en = $site->ask($path, [304, ETag => '"en"', Vary => 'Accept-Language',
    'Cache-Control' => 'max-age=10'], 'Accept-Language' => 'en');
is seen('if-none-match'), '"en"', 'a variant is validated by its own tag';
is "$en->{body} $en->{fetches}", 'en 1', 'and confirmed';
is $site->ask($path, [500], 'Accept-Language' => 'en')->{fetches}, 0, 'it is fresh';
is $site->ask($path, [304, ETag => '"de"'], 'Accept-Language' => 'de')->{fetches}, 1,
    'the other one is not';
$t->clock_advance(11);
is $site->ask($path, [304, ETag => '"de"'], 'Accept-Language' => 'en')->{fetches}, 2,
    "a 304 for another variant's tag: asked again";

# --- HEAD ------------------------------------------------------------------------------------

my @heads = (
    # what HEAD says                                                   the stored one after it
    ['the same ETag',           [200, ETag => '"a"', 'X-New' => 'new', 'Content-Length' => 6],
        'updated'],
    ['the same, no length',     [200, ETag => '"a"', 'X-New' => 'new',
        'Transfer-Encoding' => 'chunked'], 'updated'],
    ['no validator, the same length', [200, 'X-New' => 'new', 'Content-Length' => 6], 'updated'],
    ['304',                     [304, ETag => '"a"', 'X-New' => 'new'],       'updated'],
    ['another ETag',            [200, ETag => '"b"', 'Content-Length' => 6],  'asked about'],
    ['another length',          [200, ETag => '"a"', 'Content-Length' => 7],  'asked about'],
    ['another Last-Modified',   [200, 'Last-Modified' => $after, 'Content-Length' => 6],
        'asked about'],
    ['no-store',                [200, ETag => '"a"', 'Content-Length' => 6,
        'Cache-Control' => 'no-store'], 'gone'],
    ['a redirect',              [302, Location => '/x'],                      'asked about'],
    ['404',                     [404],                                        'asked about'],
);
for (@heads) {
    my ($name, $answer, $then) = @$_;
    $path = stale([ETag => '"a"', 'Last-Modified' => $monday, 'X-New' => 'old']);
    my @control = grep({ $_ eq 'Cache-Control' } @$answer) ? () : ('Cache-Control' => 'max-age=10');
    my $head = $site->ask($path, [@$answer, @control], ':method' => 'HEAD');
    is $head->{status}, $answer->[0] == 304 ? 200 : $answer->[0], "HEAD, $name";
    is $head->{body}, '', 'without a body';
    my $get = $site->ask($path, says('max-age=10', ':body' => 'new'));
    is join(' ', grep { defined } $get->{body}, $get->header('X-New')),
        $then eq 'updated' ? 'stored new' : 'new',
        "HEAD, $name: the stored one is $then";
    is seen('if-none-match'), $then eq 'gone' ? undef : '"a"', 'whose validators the origin is shown'
        if $then ne 'updated';
}
$path = '/p' . ++$serial;
$site->ask($path, says('max-age=10', 'Content-Length' => 6), ':method' => 'HEAD');
is $site->ask($path, says('max-age=10', ':body' => 'stored'))->{fetches}, 1, 'a HEAD alone stores nothing';

# --- by a handler's return value ----------------------------------------------------------

# A 304 from a handler of this site is judged as one from a backend.
my $local = DevCache::Test->start(<<'CONF', modules => ['lua']);
LuaMapHandler ^/page$ @DIR@/page.lua
<Location "/page">
    DevCache On
</Location>
CONF
$local->write_file('page.lua', <<'LUA');
function handle(r)
    local version = r:stat(r.document_root .. '/second') and 'second' or 'first'
    r.headers_out['Cache-Control'] = 'max-age=10'
    if r.headers_in['If-None-Match'] then
        local other = r:stat(r.document_root .. '/other')
        r.headers_out['ETag'] = other and '"other"' or '"first"'
        return 304
    end
    r.headers_out['ETag'] = '"' .. version .. '"'
    r:puts(version)
    return apache2.OK
end
LUA
is $local->get('/page')->{body}, 'first', 'a page of a handler';
$local->clock_advance(11);
is $local->get('/page')->{body}, 'first', 'its 304 confirms what is stored';
$local->wait_counter(revalidated => 1);
$local->clock_advance(11);
$local->write_file("htdocs/$_", '') for qw(other second);
is $local->get('/page')->{body}, 'second', 'its 304 about something else does not';
$local->finish;

$t->finish;
done_testing;
