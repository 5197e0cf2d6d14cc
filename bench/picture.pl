#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# picture.pl RUNS.CSV "WHERE AND WHEN": an SVG by gnuplot of times on a logarithmic scale, rates as
# the time per task, so that left is better everywhere: a dot per run, a bar at the median.
use strict;
use warnings;
use File::Basename qw(dirname);
use List::Util qw(max min);
use POSIX qw(ceil floor);
use lib dirname(__FILE__);
use figures;

my %ours = map { $_ => 1 } qw(weir weir_uv weir_glib mwt weir_preemptive weir_lwt);
my %language = (c => "C", uv => "libuv", glib => "GTask", lwt => "Lwt");
# Of all rows those with one producer that say most; a title for each.
sub title {
    my ($row) = @_;
    my ($figure, $n) = @$row{qw(figure in_flight)};
    my $threads = $row->{threads} == 1 ? "1 thread" : "$row->{threads} threads";
    return if $row->{producers} != 1;
    if ($row->{group} =~ m{/}) {
        return if $row->{threads} != 1;
        my $loop = $row->{group} =~ s{^lua(?=\d)}{Lua }r =~ s{^luajit}{LuaJIT}r =~ s{/block$}{, no loop}r =~ s{/}{, }r;
        return "$loop: latency" if $figure eq "latency_p50_us";
        return $figure eq "rate_per_s" ? "$loop: rate, $n in flight" : undef;
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

# ---- what gnuplot reads: a line of a panel is a title, or a peer's runs ---------------

my ($csv, $where) = @ARGV;
die "usage: picture.pl RUNS.CSV WHERE\n" unless defined $where;
my @rows = grep { title($_) } read_rows($csv);
my (%titled, @tics, %points, %medians);
my $line = 0;

sub quoted { '"' . $_[0] =~ s/(["\\])/\\$1/gr =~ s/_/\\\\_/gr . '"' } # gnuplot would lower what follows a _

for my $row (@rows) {
    my $name = "$row->{group}, " . title($row);
    next if $titled{$name}++;
    push @tics, quoted("{/:Bold " . title($row) . "}") . " " . ++$line;
    for my $peer (@{$row->{peers}}) {
        push @tics, quoted($peer) . " " . ++$line;
        for my $same (grep { $name eq "$_->{group}, " . title($_) } @rows) {
            my $key = ($same->{pin} eq "free" ? "free" : "pinned") . ($ours{$peer} ? " ours" : " peer");
            $points{$key} .= us($same, $_) . " $line\n" for grep { defined } @{$same->{runs}{$peer} // []};
            my $median = typical($same, $peer);
            $medians{$key} .= us($same, $median) . " $line\n" if $median;
        }
    }
}

my @times = map { (split)[0] } map { split /\n/ } values %points; # all panels have their scale in common
my ($least, $most) = map { 10**$_ } floor(log(min(@times)) / log(10)), ceil(log(max(@times)) / log(10));
my $height = 215 + 15 * $line;
my ($plots, $data) = ("", "");
for my $panel ("pinned", "free") {
    my @series;
    for my $whose ("peer", "ours") {
        my $name = "${panel}_$whose";
        # a point far below keeps the panel when it has no run
        $data .= "\$$name << E\n" . ($points{"$panel $whose"} // "1 -99\n") . "E\n\$${name}_medians << E\n" . ($medians{"$panel $whose"} // "1 -99\n") . "E\n";
        my $colour = $whose eq "ours" ? "#c1121f" : "#33658a";
        push @series, "\$$name using 1:2 with points pt 7 ps 0.45 lc rgb '$colour' title '" . ($whose eq "ours" ? "weir, a run" : "another library, a run") . "'",
            "\$${name}_medians using 1:2 with points pt '|' lc rgb '$colour' title 'the median'";
    }
    my $title = $panel eq "free" ? "free to use every CPU" : "pinned to one CPU";
    $plots .= "set title '$title, microseconds'\n" . ($panel eq "free" ? "set key at screen 0.98,@{[10 / $height]} right bottom\nunset ytics\n" : "unset key\n") . "plot " . join(", ", @series) . "\n";
}

open my $gnuplot, "|-", "gnuplot" or die "picture: gnuplot: $!\n";
print $gnuplot <<"END";
set terminal svg size 1200,$height enhanced font 'sans-serif,11' background rgb 'white'
$data
set multiplot layout 1,2 title "weir and other libraries: the time of a task, left is better\\n@{[$where =~ s/_/\\\\_/gr]}" margins 0.22,0.98,@{[130 / $height]},@{[1 - 95 / $height]} spacing 0.03
set logscale x
set logscale x2
set xrange [$least:$most]
set x2range [$least:$most]
set x2tics
set format x '%g'
set format x2 '%g'
set yrange [@{[$line + 1]}:0]
set ytics scale 0 (@{[join ", ", @tics]})
set grid x
$plots
END
close $gnuplot or die "picture: gnuplot: $?\n";
