# A letter by Ruby's mail library: port, tls, username, password, CA, from, to, subject, text.
require "mail"
port, tls, user, password, ca, from, to, subject, text = ARGV.map { |word| word.dup.force_encoding("UTF-8") }
settings = { address: "127.0.0.1", port: port.to_i, ca_file: ca, openssl_verify_mode: "peer",
             tls: tls == "implicit", enable_starttls: tls == "starttls" ? :always : false,
             enable_starttls_auto: tls == "starttls" }
settings.update(user_name: user, password: password, authentication: "login") unless user.empty?
letter = Mail.new(charset: "UTF-8", from: from, to: to, subject: subject, body: text)
letter.delivery_method :smtp, settings
letter.deliver!
