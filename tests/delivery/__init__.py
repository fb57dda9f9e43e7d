"""Delivery: dispatcher, lanes and attempts over a real spool and scripted providers."""
