#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# table.pl RUNS.CSV: medians and ratios, every run, the gates.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use figures;

my @rows = read_rows($ARGV[0] // die "usage: table.pl RUNS.CSV\n");
my %ours = (c => "weir", uv => "weir_uv", glib => "weir_glib", lwt => "mwt");

sub ratio {
    my ($row, $one, $other) = @_;
    my ($x, $y) = (typical($row, $one), typical($row, $other));
    return defined $x && $y ? $x / $y : undef;
}

sub medians {
    my ($group) = @_;
    my @group = grep { $_->{group} eq $group } @rows or return;
    my $ours = $ours{$group} // "weir";
    my @peers = grep { $_ ne $ours } peers_of(@group);
    my $line = "%-4s %-22s %3s %4s %8s" . " %10s" x (1 + @peers) . "  " . " %10s" x @peers . "\n";
    printf "\n$line", qw(cpu figure thr prod inflight), $ours, @peers, map { "/$_" } @peers;
    for my $row (@group) {
        printf $line, $row->{pin}, called($row), @$row{qw(threads producers in_flight)},
            map({ short(typical($row, $_)) } $ours, @peers),
            map({ short(ratio($row, $ours, $_)) } @peers);
    }
}

sub every_run {
    print "\nEvery run.\n";
    for my $row (@rows) {
        for my $peer (@{$row->{peers}}) {
            printf "%-52s %-10s %s\n", $row->{key}, $peer, join " ", map { short($_) } @{$row->{runs}{$peer}};
        }
    }
}

# The figure, or the ratio, of each round by itself.
sub rounds {
    my ($row, $ours, $peer) = @_;
    my @x = @{$row->{runs}{$ours} // []};
    return @x unless $peer;
    my $y = $row->{runs}{$peer} // [];
    return map { $x[$_] / $y->[$_] } grep { defined $x[$_] && $y->[$_] } 0 .. $#x;
}

# A figure, or its ratio to a peer's, is at most, or at least, so much. Where runs
# come in two modes the ratio of the medians may be that of two modes: the median
# round must agree. The last digit shown decides: under strace a lock or two is contended.
sub gate {
    my ($text, $key, $peer, $sign, $limit, $mine) = @_;
    my ($row) = grep { $_->{key} =~ /^$key$/ } @rows;
    my $ours = $row && ($mine // $ours{$row->{group}} // "weir");
    my @rounds = $row ? rounds($row, $ours, $peer) : ();
    printf "%-59s %s %4s  ", $text . ($peer ? " / $peer" : ""), $sign, $limit;
    return print "not measured\n" unless grep { defined } @rounds;
    my @both = ($peer ? ratio($row, $ours, $peer) : typical($row, $ours), median(@rounds));
    $_ = sprintf "%.2f", $_ for @both;
    my $met = grep { $sign eq ">=" ? $_ >= $limit : $_ <= $limit } @both;
    printf "%6s %-6s  (%s)\n", $both[0], qw(MISSED OPEN met)[$met],
        join " ", map { defined ? sprintf "%.2f", $_ : "-" } @rounds;
}

sub gates {
    print "\nGates, in this run; in brackets each round by itself. OPEN: its median says otherwise.\n";
    for my $t (1, 2) {
        my $latency = "c,cpu1,latency,$t,1,1,latency_p50_us";
        gate("pinned latency p50, threads $t", $latency, "glib", "<=", 1);
        gate("pinned latency p50, threads $t", $latency, "libuv", "<=", 0.7);
    }
    for my $t (1, 2, 4) {
        for my $n (64, 1024) {
            gate("free rate, $n in flight, threads $t", "c,free,rate,$t,1,$n,rate_per_s", "libuv",
                ">=", $t < 4 ? 1.5 : 1);
        }
    }
    door_gates("uv", "libuv");
    door_gates("glib", "gtask");
    gate("futex calls per task, 1 in flight", "c,.*,calls,2,1,1,calls_futex", "", "<=", 2);
    gate("bytes per queued task beyond the caller's struct", "c,.*,memory_beyond_bytes", "", "<=", 0);
    gate("system calls while idle", "c,.*,idle,.*,calls_all", "", "<=", 0);
    gate("pinned rate, 64 in flight, threads 1", "lwt,cpu1,rate,1,1,64,rate_per_s", "preemptive", ">=", 12);
    gate("pinned latency p50, threads 1", "lwt,cpu1,latency,1,1,1,latency_p50_us", "preemptive", "<=", 1);
    gate("pinned run_in_main p50", "lwt,cpu1,call,1,1,1,call_p50_us", "preemptive", "<=", 1.25);
    for my $t (1, 4) {
        for my $work (["1ms", "of 1 ms"], ["empty", "of no length"]) {
            my $row = "lwt,free,beside_$work->[0],$t,1,.*,late";
            gate("1 ms timer beside tasks $work->[1], threads $t: p50 ms", "${row}_p50_ms", "", "<=", 8);
            gate("1 ms timer beside tasks $work->[1], threads $t: worst ms", "${row}_max_ms", "", "<=", 30);
        }
    }
    lua_gates($_) for "lua5.4", "luajit";
}

# A library's own call beside ours on its loop.
sub door_gates {
    my ($group, $peer) = @_;
    for my $t (1, 2) {
        gate("$group: pinned latency p50, threads $t", "$group,cpu1,latency,$t,1,1,latency_p50_us", $peer, "<=", 1);
    }
    gate("$group: free rate, 64 in flight, threads 2", "$group,free,rate,2,1,64,rate_per_s", $peer, ">=", 1.5);
}

sub lua_gates {
    my ($lua) = @_;
    my $latency = "cpu1,latency,1,1,1,latency_p50_us";
    gate("$lua, luv: pinned latency p50", "$lua/luv,$latency", "new_work", "<=", 0.6);
    gate("$lua, luv: free rate, 64 in flight", "$lua/luv,free,rate,1,1,64,rate_per_s", "new_work", ">=", 0.6);
    gate("$lua, luv: luv_work's free rate, 64 in flight", "$lua/luv,free,rate,1,1,64,rate_per_s", "new_work", ">=", 0.8, "luv_work");
    for my $t (1, 2) {
        gate("$lua, luv: luv_work's pinned rate, 64 in flight, threads $t", "$lua/luv,cpu1,rate,$t,1,64,rate_per_s", "new_work", ">=", 0.9, "luv_work");
    }
    gate("$lua, Copas: free rate, 64 in flight", "$lua/copas,free,rate,2,1,64,rate_per_s", "fresh", ">=", 20);
    gate("$lua, Copas: 1 ms timer, CPU-bound tasks: worst ms", "$lua/copas,free,beside_cpu,.*,gap_max_ms", "", "<=", 6);
    gate("$lua, no loop: pinned latency p50, us", "$lua/block,$latency", "", "<=", 5);
    gate("$lua, luv: 10 MB string", "$lua/luv,free,string,.*,string_ms", "new_work", "<=", 0.5);
    gate("$lua, no loop: 100k integers, ms", "$lua/block,free,integers,.*,integers_ms", "", "<=", 9);
    gate("$lua, no loop: 10k tables, ms", "$lua/block,free,tables,.*,tables_ms", "", "<=", 18);
    gate("$lua: idle worker beyond a bare state, KiB", "$lua/block,free,memory,.*,memory_beyond_kib", "", "<=", 20);
}

print "\nMedians. rate: tasks per second, more is better; all else: less is better.\n";
my %listed;
medians($_) for grep { !$listed{$_}++ } map { $_->{group} } @rows;
every_run();
gates();
