// A letter by nodemailer: port, tls, username, password, CA, from, to, subject, text.
const fs = require("fs");
const [port, tls, user, pass, ca, from, to, subject, text] = process.argv.slice(2);
const transport = require("nodemailer").createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: tls === "implicit",
  requireTLS: tls === "starttls",
  ignoreTLS: tls === "off",
  tls: { ca: fs.readFileSync(ca) },
  auth: user ? { user, pass } : undefined,
});
transport.sendMail({ from, to, subject, text }).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
