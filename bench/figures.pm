# SPDX-License-Identifier: ISC
#
# figures.pm: runs.csv in rows. A row is one figure of all peers of its group.
package figures;
use strict;
use warnings;
use Exporter qw(import);
our @EXPORT = qw(read_rows peers_of called median quartile typical short);

# In the file's order: the columns up to `figure`, key => them all, peers => [names],
# runs => {name => [values]}, undef for a round that was left out
sub read_rows {
    open my $file, "<", $_[0] or die "$_[0]: $!\n";
    chomp(my @columns = split /,/, <$file>);
    my (@rows, %known);
    while (<$file>) {
        chomp;
        my %run;
        @run{@columns} = split /,/;
        my ($peer, $round, $value) = delete @run{qw(peer run value)};
        my $key = join ",", grep { defined } @run{@columns};
        push @rows, $known{$key} = {%run, key => $key} unless $known{$key};
        my $row = $known{$key};
        push @{$row->{peers}}, $peer unless $row->{runs}{$peer};
        $row->{runs}{$peer}[$round - 1] = $value;
    }
    return @rows;
}

# The peers of some rows, each once, in the rows' order.
sub peers_of {
    my %seen;
    return grep { !$seen{$_}++ } map { @{$_->{peers}} } @_;
}

# What a table calls a row's figure.
sub called { $_[0]{figure} =~ s/^(late|calls|gap)_/$_[0]{measure}_/r }

# undef of nothing
sub median {
    my @v = sort { $a <=> $b } grep { defined } @_;
    return @v ? ($v[$#v / 2] + $v[@v / 2]) / 2 : undef;
}

# The first or the third: as many of the runs are below it, or above.
sub quartile {
    my ($which, @runs) = @_;
    my @v = sort { $a <=> $b } @runs;
    return $v[int($#v * $which / 4 + 0.5)];
}

# Of that peer's runs; undef if it has none.
sub typical {
    my ($row, $peer) = @_;
    return median(@{$row->{runs}{$peer} // []});
}

sub short {
    my ($x) = @_;
    return "-" unless defined $x;
    return sprintf "%.2fM", $x / 1e6 if $x >= 1e6;
    return sprintf "%.0fk", $x / 1e3 if $x >= 1e4;
    return $x == int $x ? "$x" : sprintf "%.2f", $x;
}
1;
