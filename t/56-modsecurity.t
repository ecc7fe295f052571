# SPDX-License-Identifier: Apache-2.0
# t/56-modsecurity.t. mod_security2 sees requests and responses of hits as of all others: its rules
# about either hold, and what they forbid is not stored.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(unique_id security2)]);
DevCacheStatusHeader On
DevCacheVaryDevice Off
<Location "/">
    DevCache On
</Location>
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecDataDir "@DIR@"
SecTmpDir "@DIR@"
SecRule ARGS "attack" "id:1,phase:2,deny,status:403"
SecRule REQUEST_HEADERS:X-Bad "@streq yes" "id:2,phase:1,deny,status:403"
SecRule RESPONSE_BODY "card number" "id:3,phase:4,deny,status:403"
SecRule REQUEST_HEADERS:X-Child "@streq yes" "id:4,phase:4,deny,status:403,chain"
    SecRule RESPONSE_BODY "for adults"
SecRule RESPONSE_STATUS "@streq 404" "id:5,phase:3,deny,status:410"
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my @fresh = (200, 'Cache-Control' => 'max-age=600', 'Content-Type' => 'text/plain');

is $site->ask('/p', [@fresh, ':body' => 'page'])->{status}, 200, 'a page';
my $hit = $site->ask('/p');
is "$hit->{fetches} $hit->{body}", '0 page', 'from the cache';
is $site->ask('/p?x=attack')->{status}, 403, 'a forbidden query';
is $site->ask('/p', undef, 'X-Bad' => 'yes')->{status}, 403, 'a forbidden header, for what is stored';
is $site->ask('/p')->{status}, 200, 'is nobody else\'s trouble';

is $site->ask('/leak', [@fresh, ':body' => 'card number 4711'])->{status}, 403, 'a forbidden response';
$hit = $site->ask('/leak', [@fresh, ':body' => 'mended']);
is "$hit->{fetches} $hit->{body}", '1 mended', 'is not stored';

is $site->ask('/adults', [@fresh, ':body' => 'for adults'])->{status}, 200, 'a response for some';
$hit = $site->ask('/adults');
is "$hit->{fetches} $hit->{body}", '0 for adults', 'from the cache';
is $site->ask('/adults', undef, 'X-Child' => 'yes')->{status}, 403, 'a rule about the response of a hit';
is $site->ask('/adults')->{body}, 'for adults', 'which the others still have';

is $site->ask('/gone', [404, 'Cache-Control' => 'max-age=600'])->{status}, 410, 'a rule about the status';
is $site->ask('/gone', [@fresh, ':body' => 'back'])->{body}, 'back', 'is not stored either';

# Large ones, ranges, conditions and HEAD go through it as well.
my $big = 'x' x 300_000;
$site->ask('/big', [@fresh, ETag => '"b"', ':size' => 300_000]);
$hit = $site->ask('/big');
ok $hit->{body} eq $big && !$hit->{fetches}, 'a large hit';
is $site->ask('/big', undef, Range => 'bytes=5-9')->{body}, 'xxxxx', 'a range';
is $site->ask('/big', undef, 'If-None-Match' => '"b"')->{status}, 304, 'a condition';
is $t->head('/big')->header('Content-Length'), 300_000, 'HEAD';
$t->allow_log(qr/\[(?:security2|:)(?:error|notice)\]|ModSecurity/);
$t->finish;
done_testing;
