#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# page.pl RUNS.CSV [GROUP...]: tables in Markdown, one for each group (all, if none is named): of
# each figure the median of each system's runs, with the quartiles below it.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use figures;

my ($csv, @groups) = @ARGV;
my @rows = read_rows($csv // die "usage: page.pl RUNS.CSV [GROUP...]\n");
my %listed;
@groups = grep { !$listed{$_}++ } map { $_->{group} } @rows unless @groups;

# "1.2M" or, of more than two runs, "1.2M<br>1.1M to 1.3M"; the best in bold.
sub cell {
    my ($row, $peer, $best) = @_;
    my @runs = grep { defined } @{$row->{runs}{$peer} // []};
    return "" unless @runs;
    my $median = short(median(@runs));
    $median = "**$median**" if $peer eq $best;
    return $median if @runs < 3;
    return "$median<br>" . short(quartile(1, @runs)) . " to " . short(quartile(3, @runs));
}

sub best {
    my ($row) = @_;
    my @known = grep { defined typical($row, $_) } @{$row->{peers}};
    my @sorted = sort { typical($row, $a) <=> typical($row, $b) } @known;
    return @sorted < 2 ? "" : $row->{figure} eq "rate_per_s" ? $sorted[-1] : $sorted[0];
}

for my $group (@groups) {
    my @group = grep { $_->{group} eq $group } @rows or die "page.pl: no group $group\n";
    my @peers = peers_of(@group);
    my $runs = (sort { $b <=> $a } map { scalar @$_ } map { values %{$_->{runs}} } @group)[0];
    print "\nGroup `$group`, $runs runs.\n\n| CPU | figure | threads | producers | in flight |",
        map(" $_ |", @peers), "\n|", " --- |" x (5 + @peers), "\n";
    for my $row (@group) {
        my $best = best($row);
        print "| $row->{pin} | @{[called($row)]} | $row->{threads} | $row->{producers} | $row->{in_flight} |",
            map(" " . cell($row, $_, $best) . " |", @peers), "\n";
    }
}
