# SPDX-License-Identifier: Apache-2.0
package DevCache::Told;

# An automatic origin that answers as each request tells it to: question and answer stand in
# one line of the test, and a request that unexpectedly reaches the origin (or does not) is
# one failed check instead of a stuck test.
#
#   my $site = DevCache::Told->new($t);            # $site->{auto}: the AutoOrigin
#   my $site = DevCache::Told->new($t, 2);         # of the second origin
#   my $res = $site->ask('/p', [404, 'Cache-Control' => 'max-age=9'], 'User-Agent' => PC);
#   $res->{fetches};                               # what came to the origin meanwhile
#   $site->fetched('a phone', '/p', undef, 'User-Agent' => PHONE);   # one check: it was
#   $site->cached('again', '/p', undef, 'User-Agent' => PHONE);      # one check: it was not
#
# The answer, [status, name => value, ...], goes in the field X-Answer; names may repeat.
# Without one it is a 200 that is fresh for a minute. Names that begin with a colon: :body
# (else "answer 1", "answer 2", ... over all requests, so that equal bodies are one answer),
# :size (that many times "x"), :hold and :cut as in DevCache::AutoOrigin.

use strict;
use warnings;
use DevCache::AutoOrigin;
use Test::More ();

my @fresh = (200, 'Cache-Control' => 'max-age=60');

sub new {
    my ($class, $t, $n) = @_;
    my $serial = 0;
    my $auto = $t->origin_auto(sub {
        my $told = $_[0]->header('X-Answer');
        return _answer(++$serial, defined $told ? unpack '(N/a*)*', pack 'H*', $told : @fresh);
    }, $n);
    return bless { t => $t, auto => $auto }, $class;
}

sub _answer {
    my ($serial, $status, @told) = @_;
    my (@headers, %how);
    while (my ($name, $value) = splice @told, 0, 2) {
        if ($name =~ /^:(\w+)/) { $how{$1} = $value }
        else                    { push @headers, $name, $value }
    }
    my $body = delete $how{body} // (defined $how{size} ? 'x' x delete $how{size}
        : "answer $serial");
    return ($status, \@headers, $body, %how);
}

# As send_req of DevCache::Test.
sub send_req {
    my ($self, $path, $answer, @headers) = @_;
    push @headers, 'X-Answer' => unpack 'H*', pack '(N/a*)*', @$answer if $answer;
    return $self->{t}->send_req($path, @headers);
}

# Sent and read. Its fetches are those with its id: what an earlier request has begun in the
# background may come to the origin at any time.
sub ask {
    my ($self, $path, $answer, @headers) = @_;
    my $id = 'ask-' . ++$self->{asked};
    my $res = $self->send_req($path, $answer, @headers, 'X-Request-Id' => $id)->response;
    $res->{fetches} = grep { ($_->[2]{'x-request-id'} // '') eq $id } $self->{auto}->requests;
    return $res;
}

# As ask(), and one check: the origin was asked once, or was not asked.
sub fetched { my ($self, $name, @ask) = @_; return $self->_asked(1, "$name: fetched", @ask) }
sub cached  { my ($self, $name, @ask) = @_; return $self->_asked(0, "$name: from the cache", @ask) }

sub _asked {
    my ($self, $fetches, $name, @ask) = @_;
    my $res = $self->ask(@ask);
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    Test::More::is($res->{fetches}, $fetches, $name);
    return $res;
}

# The last request that came to the origin: [method, target, { lower-case name => value }].
sub last_request { return ($_[0]{auto}->requests)[-1] }

1;
