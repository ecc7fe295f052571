# SPDX-License-Identifier: Apache-2.0
# t/37-ranges.t. Parts of stored responses (RFC 9110, section 14), of small ones and of large
# ones, which lie in the store in another way; and what becomes of parts that are not stored.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', origins => 2);
DevCacheSize 64M
DevCacheSegmentSize 1M
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
ProxyPass /by-hand/ @ORIGIN2@/
ProxyPass / @ORIGIN@/
CONF

# Bodies that tell at each place what they are; the size is in the path. A record is at most
# a sixteenth of a segment, so that 200 KB take a file of their own.
my $monday = 'Mon, 08 Jan 2024 00:00:00 GMT';
my %fields = (strong => [ETag => '"s"', 'Last-Modified' => $monday], weak => [ETag => 'W/"w"'],
    dated => ['Last-Modified' => $monday], none => []);
my $auto = $t->origin_auto(sub {
    my ($kind, $framing, $size) = $_[0]{target} =~ m{^/(\w+)/(\w+)/(\d+)};
    my @chunked = $framing eq 'chunked' ? ('Transfer-Encoding' => 'chunked') : ();
    return (200, ['Cache-Control' => 'max-age=600', @{ $fields{$kind} }, @chunked,
        'Content-Type' => 'text/own'], body_of($size, $size));
});

sub hit {
    my ($path, @request) = @_;
    my $before = $auto->fetches;
    my $res = $t->get($path, @request);
    is $auto->fetches, $before, "$path, @request: from the cache";
    return $res;
}

# What a multipart/byteranges body says of its parts, and their bytes.
sub parts_of {
    my $res = shift;
    my ($boundary) = ($res->header('Content-Type') // '')
        =~ /^multipart\/byteranges; boundary="?([^"]+)"?$/
        or return;
    my (undef, @parts) = split /\r?\n?--\Q$boundary\E(?:--)?\r?\n/, $res->{body};
    return map {
        my ($head, $bytes) = split /\r\n\r\n/, $_, 2;
        my @where = $head =~ /^Content-range: bytes (\d+)-(\d+)\/(\d+)/mi;
        { first => $where[0], last => $where[1], size => $where[2], bytes => $bytes };
    } @parts;
}

for my $size (100, 200_000) {
    for my $framing ('length', 'chunked') {
        my $path = "/strong/$framing/$size";
        my $body = body_of($size, $size);
        $t->get($path);
        my $end = $size - 1;
        my @files = glob $t->root . '/body-*';
        is scalar(@files), $size < 1000 ? 0 : $framing eq 'length' ? 1 : 2, "$path: where it lies";

        # A single one: as it is asked for, and where it lies.
        my @single = ('0-0' => 0, 0, '0-9' => 0, 9, '50-' => 50, $end, "$end-" => $end, $end,
            "0-$end" => 0, $end,
            '-1' => $end, $end, '-10' => $size - 10, $end, "-$size" => 0, $end,
            '-' . ($size + 5) => 0, $end,
            "90-$size" => 90, $end, '90-999999999999' => 90, $end, '90-9223372036854775807' => 90,
            $end,
            '007-9' => 7, 9, "10-19,$size-" => 10, 19);
        while (my ($range, $first, $last) = splice @single, 0, 3) {
            my $res = hit($path, Range => "bytes=$range");
            is $res->{status}, 206, "bytes=$range of $size: 206";
            is $res->header('Content-Range'), "bytes $first-$last/$size", '… says what it is';
            ok $res->{body} eq substr($body, $first, $last - $first + 1), '… and is that';
            is $res->header('Content-Length'), length $res->{body}, '… of the length it says';
        }
        my $res = hit($path, Range => 'bytes=0-1');
        is join('|', map { $res->header($_) } qw(ETag Last-Modified Cache-Control Content-Type)),
            "\"s\"|$monday|max-age=600|text/own", 'a part has the fields of the whole';
        like $res->header('Age'), qr/^\d+$/, 'and its Age';
        like $res->header('Cache-Status'), qr/^devcache; hit; /, 'and is a hit';

        # Several.
        my @several = ('0-1,50-59,-2' => [[0, 1], [50, 59], [$size - 2, $end]],
            '90-99,0-4' => [[90, 99], [0, 4]],
            "0-0,$size-,$end-" => [[0, 0], [$end, $end]]);
        while (my ($range, $want) = splice @several, 0, 2) {
            $res = hit($path, Range => "bytes=$range");
            is $res->{status}, 206, "bytes=$range of $size: 206";
            my @parts = parts_of($res);
            is join(' ', map { "$_->{first}-$_->{last}/$_->{size}" } @parts),
                join(' ', map { "$_->[0]-$_->[1]/$size" } @$want), '… in parts';
            is join('', map { $_->{bytes} } @parts),
                join('', map { substr $body, $_->[0], $_->[1] - $_->[0] + 1 } @$want),
                '… with their bytes';
        }

        # None, or nonsense.
        for my $range ("$size-", "$size-" . ($size + 9), '9223372036854775806-9223372036854775807',
            "$size-,$size-") {
            $res = hit($path, Range => "bytes=$range");
            is $res->{status}, 416, "bytes=$range of $size: 416";
            is $res->header('Content-Range'), "bytes */$size", '… says how long it is';
        }
        for my $range ('bytes=9-0', 'bytes=', 'bytes=a-b', 'bytes=1', 'bytes=--1', 'bytes=0-1;2-3',
            'bytes', 'chars=0-1', 'bytes=99999999999999999999-', 'bytes=0-99999999999999999999',
            'bytes=-99999999999999999999', 'bytes=0-0,x', 'bytes=+1-2', 'bytes=0x0-1',
            'bytes=1-2-3') {
            $res = hit($path, Range => $range);
            ok $res->{status} == 200 && $res->{body} eq $body, "$range of $size: the whole";
        }

        # Conditions and methods.
        is hit($path, Range => 'bytes=0-1', ':method' => 'HEAD')->{status}, 200,
            'HEAD has no parts';
        is hit($path, Range => 'bytes=0-1', 'If-None-Match' => '"s"')->{status}, 304,
            'a condition comes first';
        is hit($path, Range => 'bytes=0-1', 'If-Match' => '"x"')->{status}, 412, 'either';
    }
}

# If-Range: the same strong validator, or the whole.
my @if_range = (strong => [206, '"s"', $monday], [200, '"x"', 's', 'W/"s"', '"s", "x"', '*', '',
    'Tue, 09 Jan 2024 00:00:00 GMT',
        'Sun, 07 Jan 2024 00:00:00 GMT', 'yesterday'],
    weak => [206], [200, 'W/"w"', '"w"', $monday],
    dated => [206, $monday], [200, '"s"', 'Tue, 09 Jan 2024 00:00:00 GMT'],
    none => [206], [200, '"s"', $monday]);
while (my ($kind, @groups) = splice @if_range, 0, 3) {
    for my $size (100, 200_000) {
        my $path = "/$kind/length/$size";
        $t->get($path);
        is hit($path, Range => 'bytes=0-1')->{status}, 206, "$kind, no If-Range: a part";
        for my $group (@groups) {
            my ($status, @values) = @$group;
            is hit($path, Range => 'bytes=0-1', 'If-Range' => $_)->{status}, $status,
                "$kind, If-Range: $_: $status" for @values;
        }
    }
}

# A whole answer to a question for a part is stored like any.
{
    my $req = $t->send_req('/by-hand/whole', Range => 'bytes=2-3');
    my $fetch = $t->origin(2)->accept;
    is $fetch->header('Range'), 'bytes=2-3', 'a part of nothing: the origin is asked for it';
    $fetch->reply(200, { 'Cache-Control' => 'max-age=60', ETag => '"e"' }, '0123456789');
    like $req->response->{status}, qr/^20[06]$/, 'and answers with the whole';
    is $t->get('/by-hand/whole', Range => 'bytes=4-5')->{body}, '45', 'of which there are parts now';
    is $t->get('/by-hand/whole')->{body}, '0123456789', 'and all';
    is $t->get('/by-hand/whole', 'If-Match' => '"e"')->{status}, 200, 'also under a condition';
    $req = $t->send_req('/by-hand/match', 'If-Match' => '"e"');
    $t->origin(2)->accept->reply(200, { 'Cache-Control' => 'max-age=60', ETag => '"e"' }, 'matched');
    is $req->response->{body}, 'matched', 'under a condition the origin answers';
    is $t->get('/by-hand/match')->{body}, 'matched', 'and that is stored, too';
    $req = $t->send_req('/by-hand/failed', 'If-Match' => '"e"');
    $t->origin(2)->accept->reply(412, { 'Cache-Control' => 'max-age=60' }, 'not that');
    is $req->response->{status}, 412, 'that it does not hold is the answer';
    $req = $t->send_req('/by-hand/failed');
    $t->origin(2)->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'it');
    is $req->response->{body}, 'it', 'to that request alone';
}

# Parts that are not stored are the origin's to give, and are not kept.
my @answers = (
    [206, { 'Content-Range' => 'bytes 0-1/10' }, '01'],
    [416, { 'Content-Range' => 'bytes */1' }, ''],
);
for my $answer (@answers) {
    my ($status, $fields, $body) = @$answer;
    my $path = "/by-hand/$status";
    my $req = $t->send_req($path, Range => 'bytes=0-1', 'If-Range' => '"e"');
    my $fetch = $t->origin(2)->accept;
    is $fetch->header('Range'), 'bytes=0-1',
        "a miss with Range, answered $status: the origin is asked for it";
    is $fetch->header('If-Range'), '"e"', 'with its If-Range';
    $fetch->reply($status, { 'Cache-Control' => 'max-age=60', ETag => '"e"', %$fields }, $body);
    my $res = $req->response;
    is $res->{status}, $status, 'and answers';
    is $res->{body}, $body, 'with its bytes' if $status == 206;
    $req = $t->send_req($path);
    $t->origin(2)->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'the whole');
    is $req->response->{body}, 'the whole', 'nothing of it is kept for others';
    is $t->get($path, Range => 'bytes=4-8')->{body}, 'whole',
        'and then the whole is there to take parts of';
}

$t->finish;
done_testing;
