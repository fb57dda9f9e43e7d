"""
The v2 API on the wire, pure: no socket, no clock, no token.

`values` are what the eight methods ask and tell, `forms` writes their calls, `answers` reads what
comes back, `words` are the service's names for what became of a letter. Source: provider reference,
part C, and the cautions of part D (24 to 36).
"""
