"""
From the spool to the providers: who gets which letter when, and what follows.

`lane` keeps a bounded window per provider and its pace, `attempt` makes one attempt and records it,
`dispatcher` runs the lanes. Sees providers only through `providers.contract`.
"""
