"""
The crash harness: a server under load is killed with -9 at random moments and started again, and a
history checker proves for every viewer that nothing it saw was lost.

`python -m tests.crash --rounds 100` (or `make crash`).
"""
