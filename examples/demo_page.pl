#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# demo_page.pl SECONDS CLIENTS <TIMELINE >PAGE: one HTML file that shows what `make demo` measured,
# each server without a pool and with one. It needs no network and no script.
use strict;
use warnings;
use POSIX qw(ceil);

my ($seconds, $clients) = @ARGV;
my ($left, $wide, $high) = (110, 900, 190); # of a plot, in units of the picture
my ($least, $most) = (0.05, $seconds * 1000); # milliseconds on the plot's axis
my (@runs, %lines_of);

while (<STDIN>) {
    chomp;
    my ($what, @words) = split / /;
    if ($what eq "run") { push @runs, { name => shift @words, title => "@words", pings => [], gaps => [] } }
    elsif ($what eq "began") { $runs[-1]{began} = $words[0] }
    elsif ($what eq "result") { $runs[-1]{searches} = $words[0] }
    else { push @{ $runs[-1]{ { ping => "pings", waiting => "waiting", gap => "gaps" }->{$what} } }, [ $words[0] - $runs[-1]{began}, $words[1] ] }
}

# A ping that nobody answered took at least until the end.
for my $run (@runs) {
    my $waited = $$run{waiting} or next;
    push @{ $$run{pings} }, map { [ $$_[0], ($seconds - $$_[0]) * 1000 ] } grep { $$_[0] < $seconds } @$waited;
}

sub escape { $_[0] =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr }
sub largest { my $max = 0; $_ > $max and $max = $_ for @_; $max }
sub p99 { my @sorted = sort { $a <=> $b } @_; @sorted ? $sorted[ ceil(0.99 * @sorted) - 1 ] : undef }
sub count { my ($n, $what) = @_; $n == 1 ? "1 $what" : "$n ${what}s" }
sub time_of { my ($ms) = @_; !defined $ms ? "no answer" : $ms < 1000 ? sprintf("%.3g ms", $ms) : sprintf("%.1f s", $ms / 1000) }

sub across { sprintf "%.1f", $left + $wide * ($_[0] < 0 ? 0 : $_[0] > $seconds ? 1 : $_[0] / $seconds) }
sub up { my $ms = $_[0] < $least ? $least : $_[0]; sprintf "%.1f", 40 + $high * (1 - log($ms / $least) / log($most / $least)) }

sub loop_lane { # where the loop turned, and where it stood still
    my ($run) = @_;
    my $svg = qq(<text x="0" y="19">loop</text><rect class="turns" x="$left" y="6" width="$wide" height="18"/>\n);
    for (@{ $$run{gaps} }) {
        my ($from, $to) = (across($$_[0]), across($$_[0] + $$_[1] / 1000));
        $svg .= sprintf qq(<rect class="stands" x="%s" y="6" width="%.1f" height="18"/>\n), $from, largest($to - $from, 1) if $to > $left;
    }
    return $svg;
}

sub plot {
    my ($run) = @_;
    my $svg = "";
    for my $ms (grep { $_ <= $most } 0.1, 1, 10, 100, 1000, 10000) {
        my $y = up($ms);
        $svg .= qq(<line class="grid" x1="$left" x2="@{[$left + $wide]}" y1="$y" y2="$y"/><text x="0" y="@{[$y + 4]}">@{[$ms < 1000 ? "$ms ms" : $ms / 1000 . " s"]}</text>\n);
    }
    for (my $s = 0; $s <= $seconds; $s += 2) {
        $svg .= sprintf qq(<text class="second" x="%s" y="%d">%d s</text>\n), across($s), 40 + $high + 20, $s;
    }
    # from the moment a ping was sent to the moment of its answer
    $svg .= sprintf qq(<line class="ping" x1="%s" x2="%s" y1="%s" y2="%s"/><circle class="ping" cx="%s" cy="%s" r="2"/>\n),
        across($$_[0]), across($$_[0] + $$_[1] / 1000), up($$_[1]), up($$_[1]), across($$_[0] + $$_[1] / 1000), up($$_[1])
        for @{ $$run{pings} };
    return $svg;
}

sub picture {
    my ($run) = @_;
    my @times = map { $$_[1] } @{ $$run{pings} };
    my $answered = @times - @{ $$run{waiting} // [] };
    my $stood = largest(map { $$_[1] } @{ $$run{gaps} });
    my $said = sprintf "%s and %s answered. 99 %% of the pings took at most %s. The loop stood still for %s.",
        count($$run{searches}, "search") =~ s/hs$/hes/r, count($answered, "ping"), time_of(p99(@times)), $stood ? "up to " . time_of($stood) : "no 10 ms";
    my ($width, $height) = ($left + $wide + 45, 40 + $high + 30);
    return <<"END";
<figure>
<figcaption><b>$$run{title}</b>: $said</figcaption>
<svg viewBox="0 0 $width $height" role="img" aria-label="$$run{title}. $said">
@{[loop_lane($run)]}@{[plot($run)]}</svg>
</figure>
END
}

sub code { # FILE FIRST LAST: the lines that made the difference
    my ($file, $first, $last) = @_;
    open my $in, "<", $file or die "demo_page: $file: $!\n";
    my @lines = grep { /$first/ .. /$last/ } <$in>;
    die "demo_page: $file has no $first\n" unless @lines;
    return "<h3>$file</h3>\n<pre><code>" . escape(join "", @lines) . "</code></pre>\n";
}

sub sentence {
    my ($without, $with) = map { p99(map { $$_[1] } @{ $$_{pings} }) } @_;
    return sprintf "While %d people searched, 99 of 100 pings took up to %s; with a pool, up to %s.", $clients, time_of($without), time_of($with);
}

my %server = (
    Lwt => code("examples/ocaml/packages_server/finder.ml", qr/^let in_pool/, qr/^  Lwt.return/),
    Copas => code("examples/lua/packages_server/finder.lua", qr/^function finder.in_pool/, qr/^end/));
my $body = "";
while (my ($without, $with) = splice @runs, 0, 2) {
    $body .= "<h2>A server on $$without{name}</h2>\n<p class=\"said\">" . sentence($without, $with) . "</p>\n"
        . picture($without) . picture($with) . $server{ $$without{name} };
}
print <<"END";
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>An event loop with and without a pool</title>
<link rel="icon" href="data:,">
<style>
:root { --ink: #1c2430; --paper: #fff; --soft: #f3f5f8; --line: #cbd3dd; --turns: #8fcfb5; --stands: #c1121f; --ping: #0a58a8; color-scheme: light dark; }
\@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ec; --paper: #14181e; --soft: #1e242c; --line: #38424e; --turns: #2b6b53; --stands: #ff6b6b; --ping: #7db7f0; } }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.2rem 4rem; color: var(--ink); background: var(--paper); font: 17px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h3 { overflow-wrap: anywhere; }
.said { font-size: 1.3rem; font-weight: 600; }
figure { margin: 1.5rem 0; overflow-x: auto; }
svg { display: block; width: 100%; height: auto; margin-top: .4rem; font-size: 14px; }
text { fill: var(--ink); }
.second { text-anchor: middle; }
.grid { stroke: var(--line); }
.turns { fill: var(--turns); }
.stands { fill: var(--stands); }
line.ping { stroke: var(--ping); stroke-width: 1.5; }
circle.ping { fill: var(--ping); }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto; font-size: .84rem; }
.key { display: inline-block; width: .9em; height: .9em; vertical-align: -.1em; }
\@media (max-width: 45rem) { svg { font-size: 27px; } circle.ping { r: 4px; } line.ping { stroke-width: 4; } pre { font-size: .74rem; } }
</style>
</head>
<body>
<main>
<h1>An event loop with and without a pool</h1>
<p>A server searches Debian's packages in SQLite for $clients clients, for $seconds seconds. One more client sends a ping,
which needs no search, 10 ms after the last answer. In each picture the strip shows the loop:
<span class="key" style="background: var(--turns)"></span> it turns, <span class="key" style="background: var(--stands)"></span>
it stands still for more than 10 ms, so that nobody is served. Below it each ping runs
<span class="key" style="background: var(--ping)"></span> from its sending to its answer, at the height of the time that it took, on a logarithmic scale. What was not answered by the end counts until then.</p>
$body</main>
</body>
</html>
END
