"""
`mailquay v1 …`: every endpoint of the v1 API for people and scripts.

`command` makes a command of what asks the API: it chooses the account, shows the result and turns
errors into one line and a sysexits code. The other modules are the commands by subject; `rows`
reads and writes recipients as CSV. Nothing here is imported before a `v1` command is called.
"""
