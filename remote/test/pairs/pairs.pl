#!/usr/bin/perl
# SPDX-License-Identifier: ISC
#
# pairs.pl URL NAME=COMMAND...: for each pair of languages a worker in one serves a
# client in the other: bytes there and back, a handler that raises, kill -9 of the worker, a
# cancel; and in each language a handler that hogs its runtime loses no heartbeat. The queues are
# there; and one that ends gives back what it has not begun. COMMAND worker URL and COMMAND client URL
# are programs that speak as follows; each says `ready` first, ends when its input does, and says
# `ended` last. A worker whose end lasts says `drains` before that; a line has it end by cancel.
#
#   the client hears  NAME SIZE N   run the job with a text of that size and the number N
#                     cancel        the job that it ran last
#   and says          ok SIZE N | raised NAME TEXT | cancelled | failed ...
#   the worker says   holds ATTEMPT   for `holds`, whose first attempt lasts until it is killed
#                     stops, stopped  for `stops`, which lasts until it is cancelled
#                     hogs ATTEMPT  for `hogs`, which computes for some heartbeats
use strict;
use warnings;
use IPC::Open2;

my ($url, @commands) = @ARGV;
my %command = map { split /=/, $_, 2 } @commands;
my $limit = $ENV{WEIR_PAIRS_WITHIN} // 60;
my ($passed, $failed) = (0, 0);
my %running;

$SIG{PIPE} = 'IGNORE';
$SIG{ALRM} = sub { die "nothing came for $limit s\n" };
$SIG{TERM} = $SIG{INT} = sub { exit 1 };
END { kill 'KILL', keys %running }

sub start {
    my ($language, $role) = @_;
    my $pid = open2(my $out, my $in, "exec $command{$language} $role $url");
    my $peer = { pid => $pid, in => $in, out => $out, name => "$language $role" };
    $running{$pid} = 1;
    hear($peer, qr/^ready$/);
    return $peer;
}

# The next line; it must be this.
sub hear {
    my ($peer, $what) = @_;
    alarm $limit;
    my $line = readline $peer->{out};
    alarm 0;
    die "$peer->{name} has ended; expected $what\n" if !defined $line;
    chomp $line;
    die "$peer->{name} says '$line'; expected $what\n" if $line !~ $what;
    return $line;
}

sub say_to {
    my ($peer, $line) = @_;
    syswrite $peer->{in}, "$line\n";
}

sub reap {
    my ($peer) = @_;
    waitpid $peer->{pid}, 0;
    delete $running{ $peer->{pid} };
}

sub stop {
    my ($peer) = @_;
    close $peer->{in};
    my $said = hear($peer, qr/^(drains|ended)$/);
    hear($peer, qr/^ended$/) if $said eq 'drains';
    reap($peer);
    die "$peer->{name} ended with $?\n" if $?;
}

sub check {
    my ($name, $test) = @_;
    if (eval { $test->(); 1 }) { $passed++ }
    else { $failed++; print "$name: $@" }
}

sub pair {
    my ($from, $to) = @_;
    my $name = "$from client, $to worker";
    my ($client, $worker) = (start($from, 'client'), start($to, 'worker'));
    check("$name: bytes across", sub {
        for my $size (0, 10, 300, 70_000, 1_000_000) {
            say_to($client, "echo $size 70000");
            hear($client, qr/^ok $size 70000$/);
        }
    });
    check("$name: a handler that raises", sub {
        say_to($client, 'raises 1 1');
        hear($client, qr/^raised \S+ .*on purpose/);
    });
    check("$name: a cancel", sub {
        say_to($client, 'stops 1 1');
        hear($worker, qr/^stops$/);
        say_to($client, 'cancel');
        hear($client, qr/^cancelled$/);
        hear($worker, qr/^stopped$/);
    });
    check("$name: kill -9 of the worker", sub {
        say_to($client, 'holds 5 7');
        hear($worker, qr/^holds 1$/);
        kill 'KILL', $worker->{pid};
        reap($worker);
        $worker = start($to, 'worker');
        hear($worker, qr/^holds 2$/);
        hear($client, qr/^ok 5 7$/);
    });
    check("$name: both end", sub { stop($client); stop($worker) });
    kill 'KILL', keys %running;
    reap($_) for grep { $running{ $_->{pid} } } $client, $worker;
}

# A connection that was lost would have the job run again.
sub hog {
    my ($language) = @_;
    my ($client, $worker) = (start($language, 'client'), start($language, 'worker'));
    check("$language: a handler that hogs", sub {
        say_to($client, 'hogs 3 9');
        hear($worker, qr/^hogs 1$/);
        hear($client, qr/^ok 3 9$/);
        stop($client);
        stop($worker); # and says nothing else
    });
    kill 'KILL', keys %running;
    reap($_) for grep { $running{ $_->{pid} } } $client, $worker;
}

# Until it has ended; holds does not begin meanwhile.
sub begins_nothing {
    my ($worker) = @_;
    my $said = '';
    $said = hear($worker, qr/^(stopped|drains|ended)$/) until $said eq 'ended';
    reap($worker);
    die "$worker->{name} ended with $?\n" if $?;
}

# Its two threads are taken, and a third job waits in it.
sub give_back {
    my ($language, $how) = @_;
    my @clients = map { start('C', 'client') } 1 .. 3;
    my @workers = (start($language, 'worker'));
    check("$language: a worker that ends by $how begins nothing more", sub {
        for my $client (@clients[0, 1]) {
            say_to($client, 'stops 1 1');
            hear($workers[0], qr/^stops$/);
        }
        say_to($clients[2], 'holds 5 7');
        if ($how eq 'cancel') {
            say_to($workers[0], 'cancel');
        } else {
            close $workers[0]{in};
            hear($workers[0], qr/^drains$/);
            say_to($_, 'cancel') for @clients[0, 1];
        }
        close $workers[0]{in};
        begins_nothing($workers[0]);
        push @workers, start($language, 'worker');
        my $attempt = hear($workers[1], qr/^holds [12]$/);
        say_to($clients[2], 'cancel') if $attempt eq 'holds 1';
        hear($clients[2], $attempt eq 'holds 1' ? qr/^cancelled$/ : qr/^ok 5 7$/);
        stop($workers[1]); # which acknowledges what it ran
    });
    kill 'KILL', keys %running;
    reap($_) for grep { $running{ $_->{pid} } } @clients, @workers;
}

hog($_) for sort keys %command;
for my $language (sort keys %command) { give_back($language, $_) for 'drain', 'cancel' }
for my $from (sort keys %command) {
    for my $to (sort keys %command) {
        check("$from, $to", sub { pair($from, $to) });
    }
}
print "$passed passed, $failed failed\n";
exit($failed != 0);
