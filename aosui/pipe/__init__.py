"""
The pipe between a server and an executor in another process; `docs/pipe.md` has its rules.

`messages` are what is said, `stream` is how.
"""
