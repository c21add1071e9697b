"""The benchmarks: `python -m benchmarks [case ...]`, or `make bench`."""
