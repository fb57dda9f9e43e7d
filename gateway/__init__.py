"""The gateway: takes letters over SMTP, keeps them durably, hands them over. See README.md."""
