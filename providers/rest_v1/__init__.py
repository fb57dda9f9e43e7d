"""
The v1 JSON REST API: letters of the gateway, and everything else the platform can do.

`wire`, `smtp_headers` and `problem` translate letters and answers, `list_letter` takes a letter to
a whole list, `tracking` reads what became of it; `api` is every endpoint for programs and people;
`client` is the account with its connections, `provider` puts all together. See the provider
reference, part B.
"""
