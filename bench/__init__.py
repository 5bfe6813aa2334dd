"""Measures the framework against what is possible: ratios from interleaved rounds, with the CPU time beside. `make bench` runs it."""
