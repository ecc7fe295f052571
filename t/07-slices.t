# SPDX-License-Identifier: Apache-2.0
# t/07-slices.t. DevCacheSlice: large files are fetched and stored in slices, so that a visitor who
# looks at a part of a film costs the slices that he looks at.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use Test::More;
use DevCache::Ctl;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', origins => 2, modules => [(($ENV{DEVCACHE_MPM} // '') eq 'prefork' ? () : 'http2'), 'authz_host']);
DevCacheSize 64M
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
    DevCacheSlice 64K
    DevCachePurge On
    Require local
    Header add X-Added once
</Location>
<Location "/device/">
    DevCacheVaryDevice On
</Location>
<Location "/st">
    ProxyPass !
    SetHandler devcache-status
</Location>
Protocols h2c http/1.1
ProxyPass /by-hand/ @ORIGIN2@/
ProxyPass /one/ @ORIGIN@/one/ max=1 acquire=3000
ProxyPass / @ORIGIN@/
CONF

my $slice = 65536;
my $size = 10 * $slice + 100;
my $film = body_of($size, $size);
my $file = $t->write_file('version', '1');

# An origin that knows ranges and If-Range; what else it does the path says.
sub film_of {
    my ($version, $length) = @_;
    my $body = substr $film, 0, $length;
    return $version == 1 ? $body : reverse $body;
}
sub version { open my $in, '<', $t->dir . '/version' or die; local $/; return 0 + <$in> }
my $auto = $t->origin_auto(sub {
    my $request = shift;
    my ($kind) = $request->{target} =~ m{^/(\w+)/};
    my $length = $request->{target} =~ m{/(\d+)$} ? $1 : $size;
    my $body = film_of(version(), $length);
    my $etag = '"v' . version() . '"';
    my @fields = ('Cache-Control' => 'max-age=600', ETag => $etag);
    @fields = ('Cache-Control' => 'max-age=600', ETag => "W/$etag") if $kind eq 'weak';
    @fields = ('Cache-Control' => 'private', ETag => $etag) if $kind eq 'private';
    @fields = ('Cache-Control' => 'max-age=10, stale-while-revalidate=300', ETag => $etag) if $kind eq 'swr';
    @fields = (@fields, Vary => 'Foo') if $kind eq 'vary';
    @fields = (@fields, 'Cache-Tag' => 'film') if $kind eq 'held';
    @fields = ('Cache-Control' => 'max-age=600', 'Last-Modified' => 'Mon, 08 Jan 2024 00:00:00 GMT')
        if $kind eq 'dated';
    return (503, ['Retry-After' => 1], 'away') if version() == 3;
    return (404, [], 'gone') if $kind eq 'gone' && ($request->header('Range') // '') ne 'bytes=0-65535';
    my $second = ($request->header('Range') // '') =~ /^bytes=65536-/;
    @fields = (@fields, 'Set-Cookie' => 'a=b') if $kind eq 'cookie' && $second;
    ($etag, @fields) = ('"v1-b"', @fields[0, 1], ETag => '"v1-b"') if $kind eq 'machines' && $second;
    return (304, \@fields, '') if ($request->header('If-None-Match') // '') eq $etag;
    my ($first, $last) = ($request->header('Range') // '') =~ /^bytes=(\d+)-(\d*)$/;
    if (($request->header('Range') // '') =~ /^bytes=-(\d+)$/) {
        ($first, $last) = ($length - $1, '');
    }
    my $if = $request->header('If-Range');
    return (200, \@fields, $body)
        if !defined $first || $kind eq 'whole' || (defined $if && $if ne $etag && $kind ne 'dated');
    return (416, ['Content-Range' => "bytes */$length"], '') if $first >= $length;
    $last = $length - 1 if $last eq '' || $last >= $length;
    return (206, [@fields, 'Content-Range' => "bytes $first-$last/$length"],
        substr($body, $first, $last - $first + 1), $kind eq 'held' && $second ? (hold => $request->{target}) : ());
});
sub ranges { my $path = shift; return map { $_->[2]{range} // 'none' } grep { $_->[1] eq $path } $auto->requests }
sub gets {
    my ($what, $path, $want, @request) = @_;
    my $res = $t->get($path, @request);
    is $res->{status}, ($want->{status} // 206), "$what: status";
    ok $res->{body} eq $want->{body}, '… its bytes';
    is $res->header('Content-Range'), $want->{range}, '… which' if $want->{range};
    is $res->header('Content-Length'), length $want->{body}, '… how many';
    is $res->header('X-Added'), 'once', '… by mod_headers, once';
    return $res;
}
sub part {
    my ($first, $last) = @_;
    return { body => substr($film, $first, $last - $first + 1), range => "bytes $first-$last/$size" };
}

subtest 'a seek costs the slices it looks at' => sub {
    my $path = '/film/seek';
    my $res = gets('the middle', $path, part(300_000, 300_099), Range => 'bytes=300000-300099');
    like $res->header('Cache-Status'), qr/fwd=uri-miss; fwd-status=206;.* stored/, '… a miss';
    is join(' ', ranges($path)), 'bytes=262144-327679', 'one slice was asked for';
    $res = gets('again', $path, part(300_050, 310_000), Range => 'bytes=300050-310000');
    like $res->header('Cache-Status'), qr/; hit/, '… a hit';
    is $res->header('ETag'), '"v1"', '… with its fields';
    gets('over a border', $path, part(327_000, 330_000), Range => 'bytes=327000-330000');
    is scalar(ranges($path)), 2, 'that costs one more';
    gets('the end', $path, part($size - 10, $size - 1), Range => 'bytes=-10');
    is +(ranges($path))[-1], 'bytes=655360-655459', 'the last slice is as long as it is';
    gets('several', $path, { body => $t->get($path, Range => 'bytes=0-0,655400-655409')->{body} },
        Range => 'bytes=0-0,655400-655409');
    is scalar(ranges($path)), 4, 'several ranges cost what they lack';
    is $t->get($path, Range => "bytes=$size-")->{status}, 416, 'behind the end: 416';
    is $t->get($path, Range => "bytes=$size-")->header('Content-Range'), "bytes */$size", '… of what';
    is $t->head($path)->header('Content-Length'), $size, 'HEAD knows the length';
    is $t->get($path, 'If-None-Match' => '"v1"')->{status}, 304, 'a condition is answered';
    is scalar(ranges($path)), 4, 'all that without the origin';
    is $t->get($path, Range => 'bytes=0-9', 'If-Range' => '"v0"', ':timeout' => 20)->{body}, $film,
        'If-Range of another version: the whole';
    is scalar(ranges($path)), 11, '… of which each slice was fetched once';
    gets('the whole', $path, { status => 200, body => $film });
    is scalar(ranges($path)), 11, '… from the store';
};

subtest 'the whole at once' => sub {
    my $path = '/film/whole';
    gets('a GET', $path, { status => 200, body => $film });
    is scalar(ranges($path)), 11, 'came in slices';
    is $t->get($path, Range => 'bytes=7-9')->{body}, substr($film, 7, 3), 'of which there are parts';
    gets('by the end first', '/film/end', part($size - 10, $size - 1), Range => 'bytes=-10');
    is join(' ', ranges('/film/end')), 'bytes=0-65535 bytes=655360-655459',
        'the length was asked for, and the end';
};

subtest 'what is no more than a slice is an object like any' => sub {
    for my $length (1, 100, 65_535, 65_536) {
        my $path = "/film/$length";
        my $body = substr $film, 0, $length;
        gets("$length bytes", $path, { status => 200, body => $body });
        gets("$length bytes again", $path, { status => 200, body => $body });
        is scalar(ranges($path)), 1, 'one fetch';
    }
};

subtest 'a herd costs one fetch a slice' => sub {
    my $path = '/film/herd';
    my @herd = map { $t->send_req($path, Range => "bytes=131072-20000" . $_ % 10) } 1 .. 10;
    for my $n (1 .. 10) {
        is $herd[$n - 1]->response->{body}, substr($film, 131072, 68929 + $n % 10 - 0), "visitor $n";
    }
    is join(' ', sort(ranges($path))), 'bytes=131072-196607 bytes=196608-262143', 'two slices, two fetches';
};

subtest 'an origin that knows no ranges' => sub {
    my $path = '/whole/film';
    gets('a GET', $path, { status => 200, body => $film });
    is scalar(ranges($path)), 1, 'one fetch';
    gets('a part', $path, part(5, 9), Range => 'bytes=5-9');
    is scalar(ranges($path)), 1, '… and it is stored';
    my $res = $t->get('/whole/other', Range => 'bytes=5-9');
    ok $res->{status} == 206 ? $res->{body} eq substr($film, 5, 5) : $res->{body} eq $film,
        'a part first: it, or the whole';
};

subtest 'what cannot be had by slices' => sub {
    for my $kind ('weak', 'private') {
        my $path = "/$kind/film";
        my $res = $t->get($path);
        ok $res->{status} == 200 && $res->{body} eq $film, "$kind: the whole";
        is join(' ', ranges($path)), 'bytes=0-65535 none', '… after a slice that was of no use';
        $res = $t->get($path, Range => 'bytes=70000-70009');
        ok $res->{status} == 206 && $res->{body} eq substr($film, 70_000, 10), "$kind: a part";
        is +(ranges($path))[-1], 'bytes=70000-70009', '… is asked for as it is' if $kind eq 'private';
    }
    is $t->get('/film/past', Range => 'bytes=99999999-')->{status}, 416, '416 is the origin\'s';
    my $res = gets('dated', '/dated/film', part(70_000, 70_009), Range => 'bytes=70000-70009');
    gets('dated, the next', '/dated/film', part(140_000, 140_009), Range => 'bytes=140000-140009');
    is scalar(ranges('/dated/film')), 2, 'an old Last-Modified will do';
};

subtest 'variants have slices of their own' => sub {
    gets('one', '/vary/film', part(0, 9), Range => 'bytes=0-9', Foo => 1);
    gets('the other', '/vary/film', part(0, 9), Range => 'bytes=0-9', Foo => 2);
    is scalar(ranges('/vary/film')), 2, 'by Vary';
    gets('a phone', '/device/film', part(0, 9), Range => 'bytes=0-9', 'User-Agent' => PHONE);
    gets('a desktop', '/device/film', part(0, 9), Range => 'bytes=0-9', 'User-Agent' => PC);
    gets('a phone again', '/device/film', part(1, 8), Range => 'bytes=1-8', 'User-Agent' => PHONE);
    is scalar(ranges('/device/film')), 2, 'by device';
};

subtest 'a purge of the URL is one of all slices' => sub {
    my $path = '/film/purged';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    gets('another', $path, part(70_000, 70_009), Range => 'bytes=70000-70009');
    $t->get($path, ':method' => 'PURGE');
    is $t->get($path, Range => 'bytes=0-9', 'Cache-Control' => 'only-if-cached')->{status}, 504, 'gone';
    gets('the other', $path, part(70_000, 70_009), Range => 'bytes=70000-70009');
    is scalar(ranges($path)), 3, '… is fetched';
    gets('the first', $path, part(0, 9), Range => 'bytes=0-9');
    is scalar(ranges($path)), 4, '… as well';
};

subtest 'what goes while somebody reads' => sub {
    # A purge, or eviction, takes the film; who reads it gets the rest of the same version.
    my $path = '/held/film';
    my $req = $t->send_req($path);
    wait_until(sub { scalar(ranges($path)) == 2 });
    $t->get($path, ':method' => 'PURGE');
    $auto->release($path);
    my $res = $req->response;
    ok $res->{body} eq $film, 'a purge in the middle: the reader has all of it';
    is scalar(ranges($path)), 11, '… each slice was fetched once';
    is $t->get($path, 'Cache-Control' => 'only-if-cached')->{status}, 504, '… and it is purged';
    # By a ban, which is about slices as well.
    $path = '/held/banned';
    $req = $t->send_req($path);
    wait_until(sub { scalar(ranges($path)) == 2 });
    $t->get('/held/banned*', ':method' => 'PURGE');
    $auto->release($path);
    $res = $req->response;
    ok $res->{body} eq $film, 'a pattern in the middle: the reader has all of it';
    is scalar(ranges($path)), 11, '… each slice once';
    is $t->get($path, 'Cache-Control' => 'only-if-cached')->{status}, 504, '… and it is purged';
    # By a tag.
    $path = '/held/tagged';
    $req = $t->send_req($path);
    wait_until(sub { scalar(ranges($path)) == 2 });
    is $t->get('/', ':method' => 'PURGE', 'Cache-Tag' => 'film')->{status}, 200, 'a tag in the middle';
    $auto->release($path);
    ok $req->response->{body} eq $film, '… the reader has all of it';
    is scalar(ranges($path)), 11, '… each slice once';
    is $t->get($path, 'Cache-Control' => 'only-if-cached')->{status}, 504, '… and it is purged';
};

subtest 'what is about one visitor keeps nobody else from slices' => sub {
    my $path = '/film/login';
    gets('with a login', $path, part(0, 9), Range => 'bytes=0-9', Authorization => 'Basic YTpi');
    gets('an odd request', $path, part(0, 9), Range => 'bytes=0-9', 'X-Odd' => 1);
    gets('anybody', $path, part(0, 9), Range => 'bytes=0-9');
    is +(ranges($path))[-1], 'bytes=0-65535', '… by a slice';
    $path = '/film/login2';
    gets('anybody', $path, part(0, 9), Range => 'bytes=0-9');
    for my $n (1, 2) {
        gets("a login that may not be stored by, $n", $path, { status => 200, body => $film },
             Authorization => 'Basic YTpi');
    }
    is +(ranges($path))[-1], 'none', '… asks for the whole then';
    gets('anybody', $path, part(70_000, 70_009), Range => 'bytes=70000-70009');
    is +(ranges($path))[-1], 'bytes=65536-131071', '… by slices';
};

subtest 'stale: validated by a slice, and all slices are good again' => sub {
    my $path = '/film/stale';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    gets('another', $path, part(70_000, 70_009), Range => 'bytes=70000-70009');
    $t->clock_advance(601);
    my $res = gets('stale', $path, part(70_000, 70_009), Range => 'bytes=70000-70009');
    like $res->header('Cache-Status'), qr/fwd-status=304/, 'it was confirmed';
    gets('the first', $path, part(0, 9), Range => 'bytes=0-9');
    is scalar(ranges($path)), 3, 'one question for all';
    $t->clock_advance(601);
    $t->write_file('version', 2);
    my $new = reverse $film;
    $res = $t->get($path, Range => 'bytes=70000-70009');
    ok $res->{body} eq substr($new, 70_000, 10), 'changed: the new version';
    is $res->header('ETag'), '"v2"', '… by its name';
    $res = $t->get($path, Range => 'bytes=0-9');
    ok $res->{body} eq substr($new, 0, 10), '… everywhere';
    $t->write_file('version', 1);
};

subtest 'stale-while-revalidate: a slice is served, and one refresh is about all of them' => sub {
    my $path = '/swr/film';
    my $served = sub {
        my ($what, $first, $of, $status) = @_;
        my $res = $t->get($path, Range => "bytes=$first-" . ($first + 9));
        is "$res->{status} $res->{body}", '206 ' . substr($of, $first, 10), "$what: its bytes";
        like $res->header('Cache-Status'), $status, '… as they are here';
        return $res;
    };
    my $fresh = qr/; hit; ttl=(?:[1-9]|10);/;
    my $stale = qr/; hit; ttl=-/;
    $served->('a slice', 0, $film, qr/; stored/);
    $served->('another', 70_000, $film, qr/; hit/);
    $t->clock_advance(30);
    $served->('stale', 5, $film, $stale);
    ok wait_until(sub { scalar(ranges($path)) == 3 }), 'the origin is asked';
    is +($auto->requests)[-1][2]{'if-none-match'}, '"v1"', '… whether it holds, once';
    $t->wait_counter(flights => 0);
    $served->('then', 5, $film, $fresh);
    $served->('the other one', 70_005, $film, $fresh);
    is scalar(ranges($path)), 3, 'without another question';

    # Stale, a slice that is not there: it is fetched, and shows that the version still holds.
    $t->clock_advance(30);
    $served->('one that lacks', 140_000, $film, $stale);
    $t->wait_log(qr{DC0120: refresh: \S+\Q$path\E}, 2);
    $served->('then', 140_005, $film, $fresh);
    is scalar(ranges($path)), 4, 'nobody has to ask once more';

    # Another version: the one that is stored is served once more, and then no more.
    my $new = reverse $film;
    $t->write_file('version', 2);
    $t->clock_advance(30);
    is $served->('changed', 70_000, $film, $stale)->header('ETag'), '"v1"', '… the old one, by its name';
    $t->wait_counter(flights => 0);
    ok wait_until(sub { ($t->get($path, Range => 'bytes=0-9')->header('ETag') // '') eq '"v2"' }), 'then the new one';
    $served->('one slice', 0, $new, $fresh);
    $served->('another', 70_000, $new, qr/; hit/);
    ok $t->get($path)->{body} eq $new, 'all of it';
    $t->write_file('version', 1);

    # Longer than that: nobody is served what is stale.
    $t->clock_advance(400);
    is $served->('too old', 70_000, $film, qr/fwd=/)->header('ETag'), '"v1"', '… it is asked for';
};

subtest 'another version in the middle' => sub {
    my $path = '/film/middle';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    $t->write_file('version', 2);
    my $new = reverse $film;
    $t->expect_log(qr/DC0131/);
    my $res = eval { $t->get($path) };
    ok !$res || length $res->{body} < $size, 'who has begun to read sees that it broke off';
    $res = $t->get($path);
    is $res->{status}, 200, 'the next one';
    ok $res->{body} eq $new, '… gets the new one, whole';
    $t->write_file('version', 1);

    $path = '/film/before';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    $t->write_file('version', 2);
    $res = $t->get($path, Range => 'bytes=70000-70009');
    ok $res->{body} eq substr($new, 70_000, 10), 'where nothing was sent yet it is the new version';
    is $res->header('ETag'), '"v2"', '… and says so';
    $t->write_file('version', 1);
};

subtest 'an origin that fails in the middle' => sub {
    my $path = '/film/fails';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    $t->write_file('version', 3);
    $t->expect_log(qr/DC0131/);
    my $res = eval { $t->get($path) };
    ok !$res || length $res->{body} < $size, 'a visible cut';
    is $t->get($path, Range => 'bytes=70000-70009')->{status}, 503, 'its error, where nothing was sent';
    gets('what is there', $path, part(5, 9), Range => 'bytes=5-9');
    $t->write_file('version', 1);
};

my $url = 'http://127.0.0.1:' . $t->port;

# What explain says of slices: their size, whether they are avoided, and the answer.
sub explained {
    my $path = shift;
    my $said = JSON::PP->new->decode($t->get("/st?explain=$url$path")->{body});
    return $said->{slices}{bytes}, $said->{slices}{avoided} ? 1 : 0, $said->{answer};
}
sub in_words { return ctl('explain', '--url' => "$url/st", $url . shift)->{out} }

subtest 'a slice that may not be stored, or cannot be had, cuts off one visitor at most' => sub {
    for my $kind ('cookie', 'machines') { # a cookie with one of them; two machines, each with its tags
        my $path = "/$kind/film";
        gets("$kind: a part", $path, part(0, 9), Range => 'bytes=0-9');
        if ($kind eq 'cookie') {
            gets("$kind: who reads it", $path, { status => 200, body => $film });
        }
        else {
            $t->expect_log(qr/DC0131/);
        }
        my $tries = 0;
        my $res;
        do { $res = eval { $t->get($path) } } until ++$tries > 5 || ($res && length $res->{body} == $size);
        cmp_ok $tries, '<=', $kind eq 'cookie' ? 1 : 3, 'the next visitors get the whole';
        ok $res->{body} eq $film, '… its bytes';
        is +(ranges($path))[-1], 'none', '… asked for as such';
        is_deeply [explained($path)], [65536, 1, 'hit'], '… which explain says';
        like in_words($path), qr/^slices    none, for a minute/m, '… in words';
        $t->clock_advance(61);
        is +(explained($path))[1], 0, '… for a minute';
    }
    like in_words('/film/seek'), qr/^slices    of 65536 bytes, by "DevCacheSlice 64K" at /m,
        'explain: by slices';
    my $path = '/gone/film';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    my $res = eval { $t->get($path) };
    ok !$res || length $res->{body} < $size, 'what has gone from the origin meanwhile is cut off once';
    $res = $t->get($path, Range => 'bytes=0-9');
    is +(ranges($path))[-1], 'bytes=0-65535', '… and then asked about';
    $res = $t->get('/weak/told');
    like $res->header('Cache-Status'), qr/not stored: its slices have no strong ETag/, 'no validator: it is said';
};

subtest 'no thread waits for a second connection to the origin' => sub {
    my $path = '/one/film';
    gets('a part', $path, part(0, 9), Range => 'bytes=0-9');
    $t->clock_advance(601);
    my $res = gets('stale, and another is wanted', $path, part(70_000, 70_009), Range => 'bytes=70000-70009');
    like $res->header('Cache-Status'), qr/fwd-status=304/, 'it was confirmed';
    gets('the whole', $path, { status => 200, body => $film });
    is $t->get($path, 'If-None-Match' => '"v1"')->{status}, 304, 'fresh';
    $t->clock_advance(601);
    is $t->get($path, 'If-None-Match' => '"v1"')->{status}, 304, 'a condition, stale';
    like $t->get($path, Range => 'bytes=0-9')->header('Cache-Status'), qr/; hit/, 'it is fresh again';
};

subtest 'HTTP/2' => sub {
    plan skip_all => 'needs threads' if ($ENV{DEVCACHE_MPM} // '') eq 'prefork';
    my $file = $t->dir . '/got';
    my $url = 'http://127.0.0.1:' . $t->port . '/film/h2';
    for my $range ('', '70000-140000', '-100') {
        system 'curl', '-s', '--http2-prior-knowledge', ($range ? ('-r', $range) : ()), '-o', $file, $url;
        open my $in, '<', $file or die;
        local $/;
        my $want = $range eq '' ? $film : $range eq '-100' ? substr($film, -100) : substr $film, 70_000, 70_001;
        ok <$in> eq $want, 'range ' . ($range || 'none');
    }
    is scalar(ranges('/film/h2')), 11, 'each slice once';
    gets('a part', '/film/h2cut', part(0, 9), Range => 'bytes=0-9');
    $t->write_file('version', 2);
    system 'curl', '-s', '--http2-prior-knowledge', '-o', $file, $url . 'cut';
    isnt $? >> 8, 0, 'a change in the middle is an error to the client';
    $t->write_file('version', 1);
};

$t->finish;
done_testing;
