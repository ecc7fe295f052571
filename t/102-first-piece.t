# SPDX-License-Identifier: Apache-2.0
# t/102-first-piece.t. Who asks for a body of which much has come gets its first 8 KB at once,
# so that many who come late do not wait for each other's megabytes, and the rest after that.
# mod_dumpio tells in which pieces it was passed on: no clock is needed for that.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

use constant FIRST => 8192;

my $t = DevCache::Test->start(<<'CONF', modules => ['dumpio']);
DumpIOOutput On
LogLevel dumpio:trace7
<Location "/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF

my $body = join '', map { sprintf '%07d.', $_ } 1 .. 40_000;

# What was passed on to a client's connection from the body's first bytes on: lengths, and F
# for a flush. The log names the port that the client comes from.
sub passed_to {
    my ($client) = @_;
    my $port = $client->{client}{wire}{socket}->sockport;
    my @passed;
    for ($t->log_lines(qr/:$port\] .*dumpio_out/)) {
        push @passed, /\(metadata-FLUSH\)/ ? 'F' : /\(data-\w+\): (\d+) bytes/ ? $1 : ();
    }
    shift @passed while @passed && ($passed[0] eq 'F' || $passed[0] < 2000); # the head
    return @passed;
}

my $owner = $t->send_req('/drips');
my $fetch = $t->origin->accept;
$fetch->head(200, { 'Cache-Control' => 'max-age=60', 'Content-Length' => length $body });
$fetch->send(substr $body, 0, 200_000);
is length $owner->body_of(200_000), 200_000, 'the first client has what has come';

# One who follows has the body shared as soon as more of it comes; all others find it so.
my $early = $t->send_req('/drips');
$t->wait_counter(flight_followers => 1);
$fetch->send(substr $body, 200_000, 50_000);
is length $early->body_of(250_000), 250_000, 'one follows from the beginning';

my @late = map { $t->send_req('/drips') } 1 .. 3;
for my $i (0 .. $#late) {
    is substr($late[$i]->body_of(FIRST), 0, FIRST), substr($body, 0, FIRST), "late client $i: the first piece";
    is length $late[$i]->body_of(250_000), 250_000, '  and all that has come, though no more comes';
    my @passed = passed_to($late[$i]);
    is_deeply [@passed[0, 1]], [FIRST, 'F'], '  the one before the other'
        or diag "passed on: @passed";
}
ok $t->origin->quiet(0.1), 'nobody else has asked the origin';

$fetch->send(substr $body, 250_000);
$fetch->end;
is scalar(grep { $_->response->{body} eq $body } $owner, $early, @late), 5, 'each gets the whole';
is $t->get('/drips')->{body}, $body, 'and it is stored';

$t->finish;
done_testing;
