# SPDX-License-Identifier: Apache-2.0
# t/06-stored-parts.t. Parts that visitors ask for (206) are stored as they come, and combined if
# they are of one strong validator (RFC 9111, sections 3.3 and 3.4).
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['authz_host']);
DevCacheSize 64M
<Location "/uncut/">
    MaxRanges none
</Location>
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
    DevCachePurge On
    Require local
    Header add X-Added once
</Location>
ProxyPass / @ORIGIN@/
CONF
my $body = body_of(1, 1000);
my @fresh = ('Cache-Control' => 'max-age=600', ETag => '"e"');

sub bytes { return substr $body, $_[0], $_[1] - $_[0] + 1 }
sub ask { my ($path, $range, @more) = @_; return $t->send_req($path, $range ? (Range => "bytes=$range") : (), @more) }

# The origin is asked for this, and gives that.
sub fetch {
    my ($what, $path, $range, $seen, $given, %how) = @_;
    my @fields = @{ $how{fields} // \@fresh };
    my $req = ask($path, $range, @{ $how{request} // [] });
    my $fetch = $t->origin->accept;
    is $fetch->header('Range'), $seen ? "bytes=$seen" : undef, "$what: the origin is asked";
    is $fetch->header('If-Range'), $how{if_range}, '… under which condition';
    my ($first, $last) = $given ? split(/-/, $given) : (0, 999);
    my @range = $given ? ('Content-Range' => $how{says} // "bytes $given/1000") : ();
    $fetch->reply($given ? 206 : 200, [@fields, @range], $how{body} // bytes($first, $last));
    my $res = $req->response;
    my ($from, $to) = $range && $range =~ /^(\d+)-(\d+)$/ ? ($1, $2) : (0, 999);
    is $res->{body}, $how{body} // bytes($from, $to), '… and the visitor gets his bytes' unless $how{any};
    is $res->header('X-Added'), 'once', '… with what mod_headers adds';
    return $res;
}
sub hit {
    my ($what, $path, $range, @more) = @_;
    my $res = ask($path, $range, @more)->response;
    my ($first, $last) = $range ? split(/-/, $range) : (0, 999);
    is $res->{status}, $range ? 206 : 200, "$what: status";
    is $res->{body}, bytes($first, $last), '… bytes';
    is $res->header('Content-Range'), $range ? "bytes $first-$last/1000" : undef, '… which';
    like $res->header('Cache-Status'), qr/; hit/, '… a hit';
    return $res;
}

subtest 'a part, and parts of it' => sub {
    fetch('the first', '/part', '100-199', '100-199', '100-199');
    hit('the same', '/part', '100-199');
    my $res = hit('a part of it', '/part', '150-160');
    is $res->header('ETag'), '"e"', 'with the fields of the whole';
    is $t->get('/part', Range => 'bytes=1000-')->{status}, 416, 'how long it is is known';
    is $t->head('/part')->header('Content-Length'), 1000, '… to HEAD as well';
    is $t->get('/part', Range => 'bytes=100-109', 'If-None-Match' => '"e"')->{status}, 304, 'conditions hold';
    fetch('with a part of another', '/part', '150-249', '200-249', '200-249', if_range => '"e"');
    hit('together', '/part', '100-249');
    fetch('elsewhere', '/part', '900-909', '900-909', '900-909');
    hit('the far one', '/part', '905-909');
    hit('the near one', '/part', '100-249');
};

subtest 'completed' => sub {
    fetch('a part', '/rest', '0-499', '0-499', '0-499');
    my $res = fetch('the whole', '/rest', undef, '500-', '500-999', if_range => '"e"');
    is $res->{status}, 200, 'is 200';
    like $res->header('Cache-Status'), qr/fwd=partial/, '… of which a part was here';
    hit('the whole', '/rest');
    hit('a part', '/rest', '499-500');
    fetch('a part', '/rest2', '500-999', '500-999', '500-999');
    fetch('the whole', '/rest2', undef, '0-499', '0-499', if_range => '"e"');
    hit('the whole', '/rest2');
    # The origin has the whole for an answer.
    fetch('a part', '/rest3', '0-499', '0-499', '0-499');
    fetch('the whole', '/rest3', undef, '500-', undef, if_range => '"e"');
    hit('the whole', '/rest3', '700-709');
    # Two gaps: asked for as a whole.
    fetch('a part', '/rest4', '400-499', '400-499', '400-499');
    fetch('the whole', '/rest4', undef, undef, undef);
    hit('the whole', '/rest4');
};

subtest 'only of one strong validator' => sub {
    my @other = ('Cache-Control' => 'max-age=600', ETag => '"f"');
    fetch('a part', '/two', '0-99', '0-99', '0-99');
    fetch('another version', '/two', '200-299', '200-299', '200-299', fields => \@other);
    hit('of the new one', '/two', '200-299');
    fetch('the old one is gone', '/two', '0-99', '0-99', '0-99', fields => \@other);
    # A gap of another version: asked anew, once, as it was asked.
    fetch('a part', '/gap', '0-99', '0-99', '0-99');
    my $req = ask('/gap', '50-149');
    my $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=100-149', 'the gap';
    $fetch->reply(206, [@other, 'Content-Range' => 'bytes 100-149/1000'], 'x' x 50);
    $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=50-149', 'then what the visitor wants';
    $fetch->reply(206, [@other, 'Content-Range' => 'bytes 50-149/1000'], 'y' x 100);
    is $req->response->{body}, 'y' x 100, 'never a mix';
    # One tag for two codings, as some origins have.
    my @accepts = ('Accept-Encoding' => 'gzip, br');
    fetch('in gzip', '/coded', '0-99', '0-99', '0-99', request => \@accepts,
        fields => [@fresh, 'Content-Encoding' => 'gzip']);
    fetch('in br', '/coded', '200-299', '200-299', '200-299', request => \@accepts,
        fields => [@fresh, 'Content-Encoding' => 'br']);
    is hit('of the new one', '/coded', '200-299', @accepts)->header('Content-Encoding'), 'br', '… in br';
    fetch('that in gzip is no part of it', '/coded', '0-99', '0-99', '0-99', request => \@accepts);
    for my $fields ([@fresh[0, 1]], [@fresh[0, 1], ETag => 'W/"w"']) {
        my $path = '/none' . scalar @$fields;
        fetch('a part', $path, '0-99', '0-99', '0-99', fields => $fields);
        hit('without a validator: the part alone', $path, '10-19');
        fetch('another', $path, '200-299', '200-299', '200-299', fields => $fields);
        hit('… takes its place', $path, '210-219');
        fetch('the first', $path, '0-99', '0-99', '0-99', fields => $fields);
        fetch('a gap cannot be put in', $path, '50-149', '50-149', '50-149', fields => $fields);
    }
};

subtest 'what is not stored' => sub {
    my %not = (
        private => [fields => ['Cache-Control' => 'private', ETag => '"e"']],
        'a cookie' => [fields => [@fresh, 'Set-Cookie' => 'a=b']],
        'no lifetime' => [fields => ['X' => 1]],
        'a length that is not the range\'s' => [says => 'bytes 100-200/1000'],
        'of unknown length' => [says => 'bytes 100-199/*'],
        'behind its end' => [says => 'bytes 100-199/150'],
        nonsense => [says => 'bytes 1oo-199/1000'],
        'several in one body' => [fields => [@fresh, 'Content-Type' => 'multipart/byteranges; boundary=x']],
        'another unit' => [says => 'pages 100-199/1000'],
    );
    my $n = 0;
    for my $what (sort keys %not) {
        my $path = '/not' . $n++;
        fetch($what, $path, '100-199', '100-199', '100-199', @{ $not{$what} });
        fetch("$what, again", $path, '100-199', '100-199', '100-199', @{ $not{$what} });
    }
    fetch('an odd request', '/odd', '100-199', '100-199', '100-199', request => ['X-Odd' => 1]);
    fetch('the next one', '/odd', '100-199', '100-199', '100-199');
    hit('it is stored', '/odd', '100-199', 'X-Odd' => 2);
};

subtest 'where httpd cuts no ranges' => sub {
    fetch('a part', '/uncut/page', '0-99', '0-99', '0-99');
    my $req = ask('/uncut/page', '0-99');
    my $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=100-', 'the rest is fetched';
    $fetch->reply(206, [@fresh, 'Content-Range' => 'bytes 100-999/1000'], bytes(100, 999));
    my $res = $req->response;
    is "$res->{status} $res->{body}", "200 $body", 'and the whole is served, as it would be of a file';
};

subtest 'stale, and purged' => sub {
    fetch('a part', '/stale', '0-99', '0-99', '0-99');
    fetch('another', '/stale', '100-199', '100-199', '100-199');
    $t->clock_advance(601);
    my $req = ask('/stale', '50-149');
    my $fetch = $t->origin->accept;
    is $fetch->header('If-None-Match'), '"e"', 'stale: validated';
    is $fetch->header('Range'), undef, '… as a whole';
    $fetch->reply(304, [@fresh]);
    is $req->response->{body}, bytes(50, 149), 'it holds';
    hit('all of it', '/stale', '0-199');
    $t->get('/stale', ':method' => 'PURGE');
    fetch('purged', '/stale', '50-149', '50-149', '50-149');
    fetch('all of it', '/stale', '0-99', '0-49', '0-49', if_range => '"e"');
};

subtest 'a purge during the fetch' => sub {
    my $req = ask('/purged', '0-99');
    my $fetch = $t->origin->accept;
    $t->get('/purged', ':method' => 'PURGE');
    $fetch->reply(206, [@fresh, 'Content-Range' => 'bytes 0-99/1000'], bytes(0, 99));
    is $req->response->{body}, bytes(0, 99), 'the visitor has it';
    fetch('nobody else', '/purged', '0-99', '0-99', '0-99');
};

subtest 'the origin breaks off' => sub {
    my $req = ask('/broken', '0-99');
    my $fetch = $t->origin->accept;
    $fetch->send("HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\nContent-Range: bytes 0-99/1000\r\n"
        . "Cache-Control: max-age=600\r\nETag: \"e\"\r\n\r\n" . bytes(0, 49));
    $fetch->close;
    my $res = eval { $req->response };
    ok !$res || $res->{status} == 502 || length $res->{body} < 100, 'the visitor sees it';
    fetch('it is not stored', '/broken', '0-99', '0-99', '0-99');
};

subtest 'from a fetch of the whole that is under way' => sub {
    my $long = body_of(7, 3_000_000);
    my $whole = $t->send_req('/stream');
    my $fetch = $t->origin->accept;
    $fetch->send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nCache-Control: max-age=600\r\nETag: \"s\"\r\n\r\n"
        . substr $long, 0, 500_000);
    my $part = $t->send_req('/stream', Range => 'bytes=100000-100009', 'If-Range' => '"s"');
    # It follows, or has been served by now.
    wait_until(sub { $t->counters->{flight_followers} || $t->log_lines(qr{/stream: IDLE -> SERVED}) });
    $fetch->send(substr $long, 500_000, 100_000); # who fetches sees that somebody follows
    my $res = $part->response;
    is $res->{status}, 206, 'what has come is served';
    is $res->{body}, substr($long, 100_000, 10), '… its bytes';
    is $res->header('Content-Range'), 'bytes 100000-100009/3000000', '… which';
    like $res->header('Cache-Status'), qr/collapsed/, '… from there';
    ok $t->origin->quiet(0.1), 'nobody else asks';
    my $soon = $t->send_req('/stream', Range => 'bytes=599990-700009');
    my $far = $t->send_req('/stream', Range => 'bytes=-10');
    my $asked = $t->origin->accept;
    is $asked->header('Range'), 'bytes=-10', 'what is far away is asked of the origin';
    $asked->reply(206, ['Cache-Control' => 'no-store', 'Content-Range' => 'bytes 2999990-2999999/3000000'],
        substr $long, -10);
    is $far->response->{body}, substr($long, -10), '… and comes at once';
    my $other = $t->send_req('/stream', Range => 'bytes=0-9', 'If-Range' => '"t"');
    $asked = $t->origin->accept;
    is $asked->header('If-Range'), '"t"', 'so is what is wanted of another version';
    $asked->reply(206, ['Cache-Control' => 'no-store', 'Content-Range' => 'bytes 0-9/20'], '0123456789');
    is $other->response->{body}, '0123456789', '… its bytes';
    $fetch->send(substr $long, 600_000);
    $fetch->end;
    is $soon->response->{body}, substr($long, 599_990, 100_020), 'what is about to come is waited for';
    ok $whole->response->{body} eq $long, 'the whole';
};

$t->allow_log(qr{AH01110}); # that it broke off
$t->finish;
done_testing;
