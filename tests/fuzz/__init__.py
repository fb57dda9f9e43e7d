"""
Coverage-guided fuzzing of what comes off the wire: `make fuzz`, not part of the tests.

It needs atheris (Linux, a dependency group of its own). What it finds becomes a test elsewhere.
"""
