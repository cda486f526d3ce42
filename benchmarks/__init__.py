"""Benchmarks: asv suites and pytest-benchmark files over the same workloads."""
