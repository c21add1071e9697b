"""One server a module, each written as its own documentation says; run in `benchmarks/.venv`."""
