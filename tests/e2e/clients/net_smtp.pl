# A letter from standard input by Net::SMTP: port, tls, username, password, CA, from, to.
use strict;
use warnings;
use Net::SMTP;
my ($port, $tls, $user, $password, $ca, $from, $to) = @ARGV;
my @trust = (SSL_ca_file => $ca, SSL_verifycn_name => "localhost");
my $smtp = Net::SMTP->new("127.0.0.1", Port => $port, Timeout => 30,
    $tls eq "implicit" ? (SSL => 1, @trust) : ()) or die "no connection: $@";
if ($tls eq "starttls") { $smtp->starttls(@trust) or die $smtp->message }
if ($user ne "") { $smtp->auth($user, $password) or die $smtp->message }
$smtp->mail($from) or die $smtp->message;
$smtp->to($to) or die $smtp->message;
$smtp->data([<STDIN>]) or die $smtp->message;
$smtp->quit;
