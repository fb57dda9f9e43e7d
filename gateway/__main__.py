"""`python -m gateway` is `mailquay`."""

from gateway.cli import main

main()
