#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# picture.pl RUNS.CSV: an SVG of times on a logarithmic scale, rates as the time
# per task, so that left is better everywhere: a dot per run, a line at the median.
use strict;
use warnings;
use File::Basename qw(dirname);
use POSIX qw(ceil floor);
use lib dirname(__FILE__);
use figures;

my %colour = (weir => "#c1121f", weir_uv => "#c1121f", weir_glib => "#c1121f", mwt => "#c1121f", weir_preemptive => "#c1121f", weir_lwt => "#e07a1f");
my %language = (c => "C", uv => "libuv", glib => "GTask", lwt => "Lwt");
my ($left, $panel, $gap, $step) = (320, 370, 30, 11);
my ($low, $high); # powers of ten of a microsecond, around all that is drawn
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
    my $what = {
        latency_p50_us => "latency",
        latency_p99_us => "latency, p99",
        wait_p50_us => "by wait",
        call_p50_us => "run_in_main",
        rate_per_s => "rate, $n in flight",
    }->{$figure} // return;
    return ($language{$row->{group}} // $row->{group}) . ": $what, $threads";
}

# A run's value as the time of a task.
sub us {
    my ($row, $value) = @_;
    return $row->{figure} eq "rate_per_s" ? 1e6 / $value : $value;
}

sub choose_scale {
    my @us = sort { $a <=> $b } map {
        my $row = $_;
        map { us($row, $_) } grep { defined } map { @$_ } values %{$row->{runs}};
    } @_;
    my ($first, $last) = @us ? @us[0, -1] : (1, 1);
    ($low, $high) = (floor(log($first) / log 10), ceil(log($last) / log 10));
    $high++ if $high == $low;
}

sub x {
    my ($us, $column) = @_;
    my $part = (log($us) / log(10) - $low) / ($high - $low);
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
    for my $value (grep { defined } @{$row->{runs}{$peer} // []}) {
        my $x = x(us($row, $value), $column);
        $svg .= qq(<circle cx="$x" cy="$y" r="2.5" fill="$colour" fill-opacity="0.45"/>\n);
    }
    my $median = typical($row, $peer) or return;
    line(x(us($row, $median), $column), $y - 5, $y + 5, qq(stroke="$colour" stroke-width="2"));
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
choose_scale(@rows);
my %drawn;
for my $row (@rows) {
    my $same = sub { join ",", map { $_->{group}, title($_) } $_[0] };
    draw(title($row), grep { $same->($_) eq $same->($row) } @rows) unless $drawn{$same->($row)}++;
}
my ($width, $runs, $top) = ($left + 2 * $panel + 2 * $gap, $svg, 38);
$svg = "";
for my $column (0, 1) {
    my $where = ("pinned to one core", "free")[$column];
    text(x(10**$low, $column), 16, "", "<tspan font-weight='bold'>$where</tspan>: time per task, left is better");
    for my $us (map { 10**$_ } $low .. $high) {
        my $x = x($us, $column);
        text($x, 32, q(font-size="10" text-anchor="middle"), "$us us");
        line($x, $top, $y - $step, q(stroke="#ccc"));
    }
}
print qq(<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$y" font-family="sans-serif" font-size="12">\n),
    qq(<rect width="100%" height="100%" fill="white"/>\n$svg$runs</svg>\n);
