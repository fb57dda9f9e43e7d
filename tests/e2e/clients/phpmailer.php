<?php
// A letter by PHPMailer: port, tls, username, password, CA, from, to, subject, text.
require "/usr/share/php/libphp-phpmailer/autoload.php";
[, $port, $tls, $user, $password, $ca, $from, $to, $subject, $text] = $argv;
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = "127.0.0.1";
$mail->Port = (int) $port;
$mail->SMTPAutoTLS = false;
$mail->SMTPSecure = ["off" => "", "starttls" => "tls", "implicit" => "ssl"][$tls];
$mail->SMTPOptions = ["ssl" => ["cafile" => $ca, "peer_name" => "localhost"]];
$mail->SMTPAuth = $user !== "";
$mail->Username = $user;
$mail->Password = $password;
$mail->CharSet = "utf-8";
$mail->setFrom($from, "Shop");
$mail->addAddress($to);
$mail->Subject = $subject;
$mail->Body = $text;
$mail->send();
