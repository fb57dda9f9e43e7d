"""
Letters per second, beside Postfix: `make bench`.

Knows the gateway only from outside, as its command and its configuration file; nothing imports it.
What is measured, how, and how to read the figures: README.md here.
"""
