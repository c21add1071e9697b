"""Whole-process faults: a real `aosui serve` with its SQLite log, and what goes wrong around it."""
