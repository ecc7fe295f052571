# SPDX-License-Identifier: Apache-2.0
package DevCache::Written;

# An automatic origin whose pages the test writes, and may write anew: for pages that are put
# together from others, where what is asked for follows from what was answered.
#
#   my $site = DevCache::Written->new($t);
#   $site->page('/p', { 'Cache-Control' => 'max-age=60' }, 'text {n}');     # {n}: how often asked
#   $site->page('/p', { ':status' => 404, 'Set-Cookie' => ['a=1', 'b=2'] }, 'text');
#   $site->fetches('/p');                       # since the last question
#   $site->last_request('/p');                  # { lower-case name => value }
#
# {name} in a text is what the request's field of that name says: {cookie}, {user-agent}.

use strict;
use warnings;
use DevCache::AutoOrigin;
use File::Temp ();

sub new {
    my ($class, $t, $n) = @_;
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    my %asked;
    my $auto = $t->origin_auto(sub { return _answer($dir, \%asked, @_) }, $n);
    return bless { dir => $dir, auto => $auto, seen => {} }, $class;
}

sub _file { my ($dir, $target) = @_; return "$dir/" . unpack 'H*', $target }

sub _answer {
    my ($dir, $asked, $request) = @_;
    my $target = $request->{target};
    open my $file, '<', _file($dir, $target) or return (404, {}, "no $target");
    my $text = do { local $/; <$file> };
    my ($head, $body) = split /\n\n/, $text, 2;
    my ($status, @lines) = split /\n/, $head;
    my $serial = ++$asked->{$target};
    my (@headers, %how);
    for (@lines) {
        my ($name, $value) = /^(:?[^:]+): (.*)/;
        if ($name =~ s/^://) { $how{$name} = $value }
        else                 { push @headers, $name => $value }
    }
    $body =~ s/\{n\}/$serial/g;
    $body =~ s/\{([a-z-]+)\}/$request->header($1) \/\/ '-'/ge;
    my ($etag) = grep { $headers[$_] eq 'ETag' } 0 .. $#headers;
    if (defined $etag && ($request->header('If-None-Match') // '') eq $headers[$etag + 1]) {
        return (304, \@headers, '', %how);
    }
    return ($status, \@headers, $body, %how);
}

sub page {
    my ($self, $target, $headers, $body) = @_;
    my %h = %$headers;
    my $status = delete $h{':status'} // 200;
    my $name = _file($self->{dir}, $target);
    open my $file, '>', "$name.new" or die "$name: $!\n";
    print {$file} "$status\n";
    for my $field (sort keys %h) {
        print {$file} "$field: $_\n" for ref $h{$field} ? @{ $h{$field} } : $h{$field};
    }
    print {$file} "\n$body";
    close $file or die "$name: $!\n";
    rename "$name.new", $name or die "$name: $!\n";
}

# Requests for a target since this was asked the last time.
sub fetches {
    my ($self, $target) = @_;
    my $all = $self->{auto}->fetches($target);
    my $new = $all - ($self->{seen}{$target} // 0);
    $self->{seen}{$target} = $all;
    return $new;
}

sub last_request {
    my ($self, $target) = @_;
    my ($last) = grep { $_->[1] eq $target } reverse $self->{auto}->requests;
    return $last && $last->[2];
}

sub release { my ($self, $name) = @_; $self->{auto}->release($name) }

1;
