"""
`mailquay v2 …`: every method of the v2 API for people and scripts.

`command` chooses the account, shows results and turns trouble into one line and a sysexits code;
`letters`, `batches` and `subscriptions` are the commands; `rows` reads and writes CSV, `progress`
shows long work. Nothing here is imported before a `v2` command is called.
"""
