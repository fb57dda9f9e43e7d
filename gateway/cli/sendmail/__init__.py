"""
`mailquay sendmail`, and mailquay under the name sendmail: what programs on this machine call.

`options` reads the command line as other sendmails do, `compose` makes a letter of standard input,
`submit` hands it to the daemon or leaves it in the maildrop, `command` does all that. Nothing here
needs a running daemon.
"""

from gateway.cli.sendmail.command import run_sendmail

__all__ = ["run_sendmail"]
