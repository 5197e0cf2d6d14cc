#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# picture.pl RUNS.CSV: an SVG of times on a logarithmic scale, rates as the time
# per task, so that left is better everywhere: a dot per run, a line at the median.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use figures;

my %colour = (weir => "#c1121f", mwt => "#c1121f", weir_lwt => "#e07a1f");
my ($left, $panel, $gap, $step) = (240, 370, 30, 11);
my ($low, $high) = (0.05, 300); # microseconds
my ($y, $svg) = (50, "");

# Of all rows those with one producer that say most; a title for each.
sub title {
    my ($row) = @_;
    my ($figure, $n) = @$row{qw(figure in_flight)};
    my $threads = $row->{threads} == 1 ? "1 thread" : "$row->{threads} threads";
    return if $row->{producers} != 1;
    if ($row->{group} =~ m{/}) {
        return if $row->{threads} != 1;
        return "$row->{group}, latency" if $figure eq "latency_p50_us";
        return $figure eq "rate_per_s" ? "$row->{group}, rate, $n" : undef;
    }
    return "latency, $threads" if $figure eq "latency_p50_us";
    return "latency, p99, $threads" if $figure eq "latency_p99_us";
    return "by wait, $threads" if $figure eq "wait_p50_us";
    return "run_in_main, $threads" if $figure eq "call_p50_us";
    return "rate, $n in flight, $threads" if $figure eq "rate_per_s";
    return;
}

sub x {
    my ($us, $column) = @_;
    my $part = log($us / $low) / log($high / $low);
    $part = $part < 0 ? 0 : $part > 1 ? 1 : $part;
    return sprintf "%.1f", $left + $column * ($panel + $gap) + $panel * $part;
}

sub text {
    my ($x, $y, $style, $text) = @_;
    $svg .= qq(<text x="$x" y="$y" $style>$text</text>\n);
}

sub line {
    my ($x, $from, $to, $style) = @_;
    $svg .= qq(<line x1="$x" x2="$x" y1="$from" y2="$to" $style/>\n);
}

sub draw_runs {
    my ($row, $peer, $y, $column) = @_;
    my $colour = $colour{$peer} // "#33658a";
    my $us = sub { $row->{figure} eq "rate_per_s" ? 1e6 / $_[0] : $_[0] };
    for my $value (grep { defined } @{$row->{runs}{$peer} // []}) {
        my $x = x($us->($value), $column);
        $svg .= qq(<circle cx="$x" cy="$y" r="2.5" fill="$colour" fill-opacity="0.45"/>\n);
    }
    my $median = typical($row, $peer) or return;
    line(x($us->($median), $column), $y - 5, $y + 5, qq(stroke="$colour" stroke-width="2"));
}

# The same figure in every pinning, a line for each peer.
sub draw {
    my ($title, @rows) = @_;
    text(5, $y + 4, "", $title);
    for my $peer (@{$rows[0]{peers}}) {
        text($left - 8, $y + 3, q(font-size="9" text-anchor="end"), $peer);
        draw_runs($_, $peer, $y, $_->{pin} eq "free" ? 1 : 0) for @rows;
        $y += $step;
    }
    $y += $step;
}

my @rows = grep { title($_) } read_rows($ARGV[0] // die "usage: picture.pl RUNS.CSV\n");
my %drawn;
for my $row (@rows) {
    my $same = sub { join ",", map { $_->{group}, title($_) } $_[0] };
    draw(title($row), grep { $same->($_) eq $same->($row) } @rows) unless $drawn{$same->($row)}++;
}
my ($width, $runs, $top) = ($left + 2 * $panel + 2 * $gap, $svg, 38);
$svg = "";
for my $column (0, 1) {
    text(x($low, $column), 16, q(font-weight="bold"), ("pinned to one core", "free")[$column]);
    for my $us (0.1, 1, 10, 100) {
        my $x = x($us, $column);
        text($x, 32, q(font-size="10" text-anchor="middle"), "$us us");
        line($x, $top, $y - $step, q(stroke="#ccc"));
    }
}
print qq(<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$y" font-family="sans-serif" font-size="12">\n),
    qq(<rect width="100%" height="100%" fill="white"/>\n$svg$runs</svg>\n);
