#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# devcachectl classify: its options, its errors, and what it makes of odd input.
use strict;
use warnings;
use Test::More;
use IPC::Open3 qw(open3);
use File::Temp qw(tempfile);
use Symbol qw(gensym);

my $build = $ENV{DEVCACHE_BUILD} || 'build';
my @tool  = ("$build/devcachectl", 'classify');
plan skip_all => "$tool[0] is not built" if !-x $tool[0];

use constant {
    PHONE => 'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) '
        . 'Chrome/125.0.0.0 Mobile Safari/537.36',
    PC => 'Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0',
    TV => 'Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) '
        . 'SamsungBrowser/5.0 Chrome/94.0.4606.31 TV Safari/537.36',
    BOT => 'Mozilla/5.0 (compatible; ExampleBot/1.0; +https://bot.example/)',
    CONSOLE => 'Mozilla/5.0 (PlayStation 4 9.00) AppleWebKit/605.1.15 (KHTML, like Gecko)',
};

# Runs the tool with a text on standard input: exit status, output, errors.
sub classify {
    my ($input, @options) = @_;
    my ($in, $path) = tempfile(UNLINK => 1);
    binmode $in;
    print {$in} $input;
    close $in or die "$path: $!";
    open my $from, '<', $path or die "$path: $!";
    my $err = gensym;
    my $pid = open3('<&' . fileno($from), my $out, $err, @tool, @options);
    my $stdout = do { local $/; <$out> } // '';
    my $stderr = do { local $/; <$err> } // '';
    waitpid $pid, 0;
    return ($? >> 8, $stdout, $stderr);
}

my $all = join "\n", PHONE, PC, TV, BOT, CONSOLE, '';
is_deeply [classify($all)], [0, "mobile\npc\npc\npc\npc\n", ''], 'one class a line';
is_deeply [classify($all, '-k')], [0, "mobile\npc\ntv\nbot\ntv\n", ''], '-k: five kinds';
is +(classify(BOT . "\n", '-x'))[1], "pc\tbot: bot/\n", '-x: the rule that decided';
is +(classify(BOT . "\n", '-kx'))[1], "bot\tbot: bot/\n", '-k and -x together';

is +(classify(PC . "\t?1\t\"Android\"\t\n" . PC . "\n" . PC . "\t\t\t\"Tablet\"\tmore\n", '-H'))[1],
    "mobile\npc\ntablet\n", '-H: hints behind tabs, some absent, more than asked for';
is +(classify(PC . "\t?1\n", '-H', '-x'))[1], "mobile\tSec-CH-UA-Mobile: ?1\n",
    '-H -x: the hint that decided';
is +(classify(PC . "\t?1\n"))[1], "pc\n", 'without -H there are no hints';

is +(classify(''))[1], '', 'no line, no answer';
is +(classify("\n\n"))[1], "pc\npc\n", 'an empty line is answered';
is +(classify(PHONE))[1], "mobile\n", 'the last line needs no end';
is +(classify(PHONE . "\r\n"))[1], "mobile\n", 'CR LF';
is +(classify("\xff\xfe\0\x01" . PHONE . "\n" . PC . "\n"))[1] =~ tr/\n//, 2,
    'binary: a line is a line';
is +(classify('x' x 200_000 . "\n" . PHONE . "\n"))[1] =~ tr/\n//, 2, 'a very long line';
my $line = PHONE . "\n";
is +(classify($line x 20_000))[1], "mobile\n" x 20_000, '20,000 lines';

for my $option ('-h', '--help') {
    my ($status, $out, $err) = classify('', $option);
    is "$status$err", '0', "$option: succeeds";
    like $out, qr/^usage: devcachectl classify/, "$option: says how";
    like $out, qr/^\s+$_\b/m, "$option: names $_" for qw(-k -x -H);
}
my ($status, $out, $err) = classify(PHONE, '-z');
is $status, 2, 'unknown option: exit status 2';
like $err, qr/--help/, 'unknown option: says what to do';
($status, $out, $err) = classify(PHONE, 'agents.txt');
is "$status$out", '2', 'an argument: exit status 2, nothing printed';
like $err, qr/'agents\.txt'.*standard input/, 'an argument: says where lines come from';
SKIP: {
    skip 'no /dev/full', 2 if !-c '/dev/full';
    open my $full, '>', '/dev/full' or die $!;
    my $e = gensym;
    my $pid = open3(my $in, '>&' . fileno($full), $e, @tool);
    print {$in} PHONE, "\n";
    close $in;
    my $text = do { local $/; <$e> };
    waitpid $pid, 0;
    is $? >> 8, 1, 'output that cannot be written: exit status 1';
    like $text, qr/cannot write/, 'output that cannot be written: said';
}

my $as_verb = (classify(TV . "\n", '-kx'))[1];
# Under the name that it had as a program of its own, a link now.
@tool = ("$build/devcache-classify");
is_deeply [classify(TV . "\n", '-kx')], [0, $as_verb, ''], 'devcache-classify is it';
done_testing;
