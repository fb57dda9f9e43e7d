"""
From the spool to the providers: who gets which letter when, and what follows.

`lane` keeps a bounded window per provider and its pace, `health` knows whether the provider is
given letters, `attempt` begins, makes and ends one attempt, `single` and `bulk` make those of one
letter and of several in one call, `reporter` makes the report that goes with the record,
`dispatcher` runs the lanes. Sees providers only through `providers.contract`.

    health, shared_pace → lane → record → reporter → attempt → absence → single, bulk → dispatcher
"""
