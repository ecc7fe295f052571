# SPDX-License-Identifier: Apache-2.0
package DevCache::Visitor;

# Somebody with a browser who visits a site: the header fields that this browser sends,
# cookies that it keeps, forms that it fills in. DevCache::Apps makes them and looks at each
# answer that they get.
#
#   my $alice = DevCache::Visitor->new(name => 'alice', device => 'mobile', port => $port,
#                                      seen => sub { my ($visitor, $answer) = @_; ... });
#   my $page = $alice->get('/wiki/Main_Page');      # a DevCache::Message, body decoded
#   $alice->submit($page, 'loginform', { user => 'alice' });    # a form of that page
#   $alice->get($alice->link_in($page, qr/logout/));
#   $alice->cookies->{PHPSESSID};

use strict;
use warnings;
use DevCache::Client;
use IO::Uncompress::Gunzip ();
use Time::Local ();

# Browsers and what they send with a navigation. Each class has two, for rounds by visitors
# who are not the same.
my %chrome = ('Sec-Fetch-Dest' => 'document', 'Sec-Fetch-Mode' => 'navigate',
              'Sec-Fetch-Site' => 'none', 'Sec-Fetch-User' => '?1',
              'Upgrade-Insecure-Requests' => 1, Priority => 'u=0, i',
              Accept => 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,'
              . 'image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7',
              'Accept-Encoding' => 'gzip, deflate, br, zstd');
my %safari = (Accept => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
              'Accept-Encoding' => 'gzip, deflate', 'Sec-Fetch-Dest' => 'document',
              'Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-Site' => 'none',
              Priority => 'u=0, i');
sub _hints {
    my ($mobile, $platform) = @_;
    return ('Sec-CH-UA' => '"Chromium";v="131", "Not_A Brand";v="24", "Google Chrome";v="131"',
            'Sec-CH-UA-Mobile' => $mobile, 'Sec-CH-UA-Platform' => qq{"$platform"});
}
my $ios = 'AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1';
my $blink = 'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0';
my %browsers = (
    pc => [
        { %chrome, _hints('?0', 'Windows'), 'Accept-Language' => 'en-US,en;q=0.9',
          'User-Agent' => "Mozilla/5.0 (Windows NT 10.0; Win64; x64) $blink Safari/537.36" },
        { 'User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0',
          Accept => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
          'Accept-Language' => 'de,en-US;q=0.7,en;q=0.3', DNT => 1, 'Sec-GPC' => 1,
          'Accept-Encoding' => 'gzip, deflate, br, zstd', 'Upgrade-Insecure-Requests' => 1,
          'Sec-Fetch-Dest' => 'document', 'Sec-Fetch-Mode' => 'navigate',
          'Sec-Fetch-Site' => 'cross-site', Referer => 'https://www.google.com/',
          Priority => 'u=0, i' } ],
    mobile => [
        { %safari, 'Accept-Language' => 'fr-FR,fr;q=0.9',
          'User-Agent' => "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) $ios" },
        { %chrome, _hints('?1', 'Android'), 'Accept-Language' => 'es-ES,es;q=0.9',
          'Accept-Encoding' => 'gzip, deflate, br',
          'User-Agent' => "Mozilla/5.0 (Linux; Android 10; K) $blink Mobile Safari/537.36",
          'X-Requested-With' => 'com.example.reader', 'Save-Data' => 'on' } ],
    tablet => [
        { %safari, 'Accept-Language' => 'en-GB,en;q=0.9',
          'User-Agent' => 'Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) '
          . 'AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1' },
        { %chrome, _hints('?0', 'Android'), 'Accept-Language' => 'it-IT,it;q=0.9',
          'User-Agent' => "Mozilla/5.0 (Linux; Android 13; SM-X906B) $blink Safari/537.36" } ],
);
sub devices { return qw(pc mobile tablet) }

sub new {
    my ($class, %opt) = @_;
    my $browser = $browsers{ $opt{device} // 'pc' }[$opt{browser} // 0];
    return bless { name => 'somebody', cookies => {}, %opt, browser => { %$browser } }, $class;
}

sub name    { return $_[0]{name} }
sub cookies { return $_[0]{cookies} }

# --- requests -----------------------------------------------------------------------------

sub _cookie_field {
    my $self = shift;
    my $cookies = $self->{cookies};
    my $text = join '; ', map { "$_=$cookies->{$_}" } sort keys %$cookies;
    return length $text ? (Cookie => $text) : ();
}

# Send it and read the answer; more header fields, or others, by name. The answer's
# {body} is what the browser shows; {coding} is how it came.
sub ask {
    my ($self, $method, $path, %more) = @_;
    my %fields = (%{ $self->{browser} }, $self->_cookie_field, %more);
    my $answer = DevCache::Client->new($self->{port})
        ->send_req($path, ':method' => $method, Connection => 'close', %fields)->response;
    $self->_keep_cookies($answer);
    $answer->{coding} = $answer->header('Content-Encoding') // '';
    if ($answer->{coding} eq 'gzip') {
        my $packed = $answer->{body};
        IO::Uncompress::Gunzip::gunzip(\$packed => \$answer->{body})
            or die "$path: bad gzip: $IO::Uncompress::Gunzip::GunzipError\n";
    }
    $answer->{path} = $path;
    $self->{seen}->($self, $answer) if $self->{seen};
    return $answer;
}

sub get { my ($self, $path, %more) = @_; return $self->ask(GET => $path, %more) }

# A form's fields by POST, as a browser writes them.
sub post {
    my ($self, $path, $form, %more) = @_;
    my $body = join '&', map { _encoded($_) . '=' . _encoded($form->{$_}) } sort keys %$form;
    return $self->ask(POST => $path, ':body' => $body, Origin => "http://127.0.0.1:$self->{port}",
                      'Sec-Fetch-Site' => 'same-origin',
                      'Content-Type' => 'application/x-www-form-urlencoded', %more);
}

# Where a redirect leads, on the same site; the answer itself if it is none.
sub follow {
    my ($self, $answer) = @_;
    for (1 .. 5) {
        my $to = $answer->header('Location') or last;
        last unless $to =~ m{^(?:http://127\.0\.0\.1:$self->{port})?(/[^#]*)};
        $answer = $self->get($1);
    }
    return $answer;
}

# Fill in and send a form of a page: the first one whose opening tag matches. Hidden and
# preset fields go along.
sub submit {
    my ($self, $page, $which, $values) = @_;
    my ($tag, $inside) = $page->{body} =~ m{(<form\b[^>]*$which[^>]*>)(.*?)</form>}s
        or die "$page->{path}: no form $which\n";
    my %form;
    for my $input ($inside =~ /<input\b([^>]*)>/g) {
        my ($name, $value, $type) = map { $input =~ /\b$_=["']([^"']*)/ ? _plain($1) : undef }
            qw(name value type);
        next if !defined $name || ($type // '') =~ /^(?:submit|checkbox|radio|button)$/;
        $form{$name} = $value // '';
    }
    my ($action) = $tag =~ /\baction=["']([^"']*)/;
    my $to = defined $action && length $action ? _plain($action) : $page->{path};
    $to =~ s{^https?://[^/]*}{};
    return $self->post($to, { %form, %$values });
}

# HTML's references, as far as forms and links have them.
sub _plain {
    my $text = shift;
    my %char = (amp => '&', quot => '"', lt => '<', gt => '>');
    return $text =~ s/&(?:(amp|quot|lt|gt)|#0*(\d+));/$1 ? $char{$1} : chr $2/ger;
}

# The first link of a page whose address matches.
sub link_in {
    my ($self, $page, $pattern) = @_;
    my ($address) = grep { $_ =~ $pattern } map { _plain($_) } $page->{body} =~ /\bhref=["']([^"']*)/g;
    return ($address // '/no-such-link') =~ s{^https?://[^/]*}{}r;
}

sub _encoded { return $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger }

sub _keep_cookies {
    my ($self, $answer) = @_;
    for (@{ $answer->{list} }) {
        my ($name, $value) = @$_;
        next unless lc $name eq 'set-cookie' && $value =~ /^([^=]+)=([^;]*)(.*)/;
        my ($cookie, $content, $rest) = ($1, $2, $3);
        if ($rest =~ /max-age=(?:0|-)/i || _is_over($rest)) { delete $self->{cookies}{$cookie} }
        else { $self->{cookies}{$cookie} = $content }
    }
}

my %month = do { my $n = 0; map { $_ => $n++ } qw(jan feb mar apr may jun jul aug sep oct nov dec) };

# Does Expires lie in the past?
sub _is_over {
    my ($day, $month, $year, @time) = $_[0] =~ /expires=\w+, (\d+)[ -](\w+)[ -](\d+) (\d+):(\d+):(\d+)/i
        or return 0;
    return 1 if $year < 1971;
    return Time::Local::timegm(reverse(@time), $day, $month{ lc $month }, $year) < time;
}

1;
