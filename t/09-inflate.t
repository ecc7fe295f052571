# SPDX-License-Identifier: Apache-2.0
# t/09-inflate.t. DevCacheEncodings … inflate: who takes no gzip gets the copy in gzip inflated, as long as
# it is fresh; with a tag of its own, ranges and conditions.
# mpm: any
use strict;
use warnings;
use Compress::Zlib qw(memGzip);
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
DevCacheSize 64M
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
    DevCacheEncodings br gzip inflate
    Header add X-Added once
</Location>
<Location "/off/">
    DevCacheEncodings br gzip
</Location>
ProxyPass / @ORIGIN@/
CONF
my $monday = 'Mon, 08 Jan 2024 00:00:00 GMT';
my @fresh = ('Cache-Control' => 'max-age=600', ETag => '"e"', 'Last-Modified' => $monday,
    'Content-Type' => 'text/css');

sub store {
    my ($path, $body, @fields) = @_;
    my $req = $t->send_req($path, 'Accept-Encoding' => 'gzip');
    $t->origin->accept->reply(200, [@fresh, 'Content-Encoding' => 'gzip', @fields], $body);
    my $res = $req->response;
    is $res->header('Content-Encoding'), 'gzip', "$path: who takes gzip gets gzip";
    return $res;
}
sub hit {
    my ($what, $path, @request) = @_;
    my $res = $t->get($path, @request);
    like $res->header('Cache-Status'), qr/; hit/, "$what: a hit";
    is $res->header('X-Added'), 'once', '… by mod_headers';
    return $res;
}

for my $size (0, 1, 10_000, 3_000_000) {
    my $body = $size == 3_000_000 ? join('', map { chr(97 + int rand 26) } 1 .. $size) : body_of($size, $size);
    subtest "$size bytes" => sub {
        my $path = "/size/$size";
        store($path, memGzip($body), 'Content-MD5' => 'xyz', 'Accept-Ranges' => 'bytes');
        my $res = hit('who takes none', $path);
        ok $res->{body} eq $body, '… is given it inflated';
        is $res->header('Content-Encoding'), undef, '… says so';
        is $res->header('Content-Length'), $size, '… how long it is';
        is $res->header('ETag'), '"e-gunzip"', '… by a tag of its own';
        is $res->header('Content-MD5'), undef, '… without what is about other bytes';
        like $res->header('Vary'), qr/^[^,]*Accept-Encoding[^,]*$/i, '… and on what it depends, once';
        $res = $t->head($path);
        is $res->header('Content-Length'), undef, 'HEAD: without the length, for which all would be inflated';
        is $res->header('Content-Encoding'), undef, '… of the inflated one';
        is $res->header('ETag'), '"e-gunzip"', '… by its tag';
        is $res->{body} // '', '', '… no body';
        is hit('a condition', $path, 'If-None-Match' => '"e-gunzip"')->{status}, 304, 'not modified';
        is hit('a condition', $path, 'If-None-Match' => '"e-gunzip"')->header('ETag'), '"e-gunzip"', '304 by its tag';
        is hit('a condition', $path, 'If-None-Match' => '"f"')->{status}, 200, 'another one';
        is hit('a date', $path, 'If-Modified-Since' => $monday)->{status}, 304, 'not modified';
        return if $size < 100;
        $res = hit('a range', $path, Range => 'bytes=50-59');
        is $res->{status}, 206, 'a part';
        is $res->{body}, substr($body, 50, 10), '… of the inflated body';
        is $res->header('Content-Range'), "bytes 50-59/$size", '… which is so long';
        is hit('If-Range', $path, Range => 'bytes=5-9', 'If-Range' => '"e-gunzip"')->{status}, 206, 'its tag';
        is hit('If-Range', $path, Range => 'bytes=5-9', 'If-Range' => '"e"')->{status}, 200, 'the other\'s';
        is hit('who has the gzip', $path, 'If-None-Match' => '"e"')->{status}, 200, 'has other bytes';
        is $t->get($path, 'If-Match' => '"e-gunzip"')->{status}, 200, 'If-Match: its tag';
        is $t->get($path, 'If-Match' => '"e"')->{status}, 412, 'If-Match: the other\'s';
        is $t->get($path, Range => "bytes=$size-")->header('Content-Range'), "bytes */$size", 'behind its end';
        $res = $t->get($path, 'Accept-Encoding' => 'gzip');
        is $res->header('ETag'), '"e"', 'the copy in gzip is as it was';
        is $res->header('Content-Encoding'), 'gzip', '… and goes to who takes it';
        ok $t->origin->quiet(0.05), 'one fetch for all';
    };
}

subtest 'several members, a weak tag' => sub {
    store('/members', memGzip('one') . memGzip('two'), ETag => 'W/"w"');
    is hit('all of them', '/members')->{body}, 'onetwo', 'in a row';
};

subtest 'what is asked of the origin instead' => sub {
    my %bad = (
        'no gzip' => 'this is no gzip',
        'cut short' => substr(memGzip('x' x 1000), 0, 15),
        'garbage behind it' => memGzip('one') . 'garbage',
        'too long' => memGzip('x' x 5_000_000),
    );
    my $n = 0;
    for my $what (sort keys %bad) {
        my $path = '/bad/' . $n++;
        $t->allow_log(qr/DC0136/);
        store($path, $bad{$what});
        my $req = $t->send_req($path);
        my $fetch = $t->origin->accept;
        is $fetch->header('Accept-Encoding'), undef, "$what: asked without a coding";
        $fetch->reply(200, \@fresh, 'plain');
        is $req->response->{body}, 'plain', '… and given on';
    }
    my %not = (
        '/not/transform' => [['Cache-Control' => 'no-transform'], []],
        '/off/page' => [[], []],
        '/not/asked' => [[], ['Cache-Control' => 'no-transform']],
        '/not/reload' => [[], ['Cache-Control' => 'no-cache']],
        '/not/identity' => [[], ['Accept-Encoding' => 'deflate, identity;q=0']],
    );
    for my $path (sort keys %not) {
        my ($said, $request) = @{ $not{$path} };
        store($path, memGzip('gzip'), @$said);
        my $req = $t->send_req($path, @$request);
        $t->origin->accept->reply(200, \@fresh, 'plain');
        is $req->response->{body}, 'plain', "$path: the origin answers";
    }
};

subtest 'stale' => sub {
    store('/stale', memGzip('gzip'));
    is hit('fresh', '/stale')->{body}, 'gzip', 'inflated';
    $t->clock_advance(601);
    my $req = $t->send_req('/stale');
    my $fetch = $t->origin->accept;
    is $fetch->header('If-None-Match'), undef, 'stale: it is not about that copy that the origin is asked';
    $fetch->reply(200, \@fresh, 'plain');
    is $req->response->{body}, 'plain', 'its answer';
    is hit('then', '/stale')->{body}, 'plain', 'a copy without compression goes first';
    is $t->get('/stale', 'Cache-Control' => 'only-if-cached')->{body}, 'plain', '… always';
};

$t->finish;
done_testing;
