#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# trace.pl FILE: a trace of weir's as lines, for the tests and for who looks at one in a terminal:
#
#   TRACK <tab> slice   <tab> NAME <tab> BEGIN <tab> LENGTH, or "open"
#   TRACK <tab> instant <tab> NAME <tab> AT
#   TRACK <tab> count        <tab> AT <tab> VALUE
#
# Times are in ms since the first event. A packet that is not whole yet, at the end, is left out.
use strict;
use warnings;

my $file = shift // die "usage: trace.pl FILE\n";
open my $in, '<:raw', $file or die "trace.pl: $file: $!\n";
local $/;
my $bytes = <$in>;

sub varint { # at a position; also the position after it
    my ($text, $at) = @_;
    for (my ($value, $shift) = (0, 0); $at < length $text; $shift += 7) {
        my $byte = ord substr $text, $at++, 1;
        $value |= ($byte & 127) << $shift;
        return ($value, $at) if $byte < 128;
    }
    return;
}

# The fields of a message, each a list of its values; undef: it is not whole.
sub fields {
    my ($text, $each) = @_;
    my (%fields, $tag, $value);
    for (my $at = 0; $at < length $text;) {
        ($tag, $at) = varint($text, $at);
        my $kind = defined $tag ? $tag & 7 : return;
        if ($kind == 1) { $value = substr $text, $at, 8; $at += 8 }
        else { ($value, $at) = varint($text, $at) }
        return unless defined $value;
        if ($kind == 2) { my $length = $value; return if $at + $length > length $text; $value = substr $text, $at, $length; $at += $length }
        if ($each) { $each->($value) } else { push @{ $fields{ $tag >> 3 } }, $value }
    }
    return \%fields;
}

my (%names, @events);
fields($bytes, sub {
    my $packet = fields($_[0]);
    if (my $track = $packet->{60} && fields($packet->{60}[0])) { $names{ $track->{1}[0] } = $track->{2}[0] }
    elsif (my $event = $packet->{11} && fields($packet->{11}[0])) {
        push @events, { at => $packet->{8}[0], type => $event->{9}[0], track => $event->{11}[0],
            name => $event->{23}[0], count => $event->{30}[0] };
    }
});

# The order of a track is that of the file.
my ($first) = sort { $a <=> $b } map { $_->{at} } @events;
my (%open, @lines);
sub ms { return sprintf '%.3f', ($_[0] - $first) / 1e6 }
for my $e (@events) {
    my $track = $names{ $e->{track} } // die "trace.pl: a track without a name\n";
    my $stack = $open{ $e->{track} } //= [];
    if ($e->{type} == 1) { push @$stack, { line => scalar @lines, at => $e->{at} }; push @lines, [$track, 'slice', $e->{name}, ms($e->{at}), 'open'] }
    elsif ($e->{type} == 2) { my $begin = pop @$stack or die "trace.pl: an end without a begin\n"; $lines[$begin->{line}][4] = sprintf '%.3f', ($e->{at} - $begin->{at}) / 1e6 }
    elsif ($e->{type} == 3) { push @lines, [$track, 'instant', $e->{name}, ms($e->{at})] }
    else { push @lines, [$track, 'count', ms($e->{at}), $e->{count}] }
}
print join("\t", @$_), "\n" for @lines;
