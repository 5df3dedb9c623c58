"""Benchmarks: rates and their ratios in one run, never timed tests."""
