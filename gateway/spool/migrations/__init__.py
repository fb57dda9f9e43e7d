"""
The steps by which the tables came to be: Alembic's environment and one file for each version.

`gateway.spool.upgrade` runs them; a step once released is never changed.
"""
