"""
From the spool to the providers: who gets which letter when, and what follows.

`lane` keeps a bounded window per provider and its pace, `attempt` makes one attempt and records it,
`reporter` makes the report that goes with the record, `dispatcher` runs the lanes. Sees providers
only through `providers.contract`.

    report_rules, lane → record → reporter → attempt → dispatcher
"""
