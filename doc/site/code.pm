# SPDX-License-Identifier: ISC
#
# code.pm: what the site makes of the code that it shows. It gets and returns HTML.
package code;
use strict;
use warnings;
use Exporter "import";
our @EXPORT = qw(coloured undented);

my $string = qr/&quot;(?:\\.|(?!&quot;)[^\n])*+&quot;/;
my $single = qr/'(?:\\.|[^'\\\n])*+'/;
my %tokens = ( # what is a comment, and what a string
    lua => [qr/--\[\[.*?\]\]|--[^\n]*/s, qr/$string|$single|\[\[.*?\]\]/s],
    c => [qr{/\*.*?\*/|//[^\n]*}s, qr/$string|$single/],
    ocaml => [qr/\(\*.*?\*\)/s, qr/'(?:&quot;|\\.)'|&quot;(?:\\.|(?!&quot;).)*+&quot;/s],
    sh => [qr/(?<!\S)#[^\n]*/, qr/(?!)/],
);
my %language = (lua => "lua", c => "c", h => "c", ml => "ocaml", mli => "ocaml", sh => "sh", bash => "sh");

sub coloured { # CODE LANGUAGE: code whose comments and strings can be told from the rest
    my ($code, $language) = @_;
    my ($comment, $text) = @{$tokens{$language{$language} // $language} // return $code};
    return $code =~ s{($comment)|($text)}{defined $1 ? qq(<i class="comment">$1</i>) : qq(<span class="string">$2</span>)}ger;
}

sub undented { # an excerpt without the margin that all its lines have
    my ($code) = @_;
    my ($margin) = ((sort { length $a <=> length $b } $code =~ /^( *)(?=\S)/gm), "");
    return $code =~ s/^$margin//gmr;
}

1;
