"""Benchmarks: contenders side by side, in interleaved rounds of one run on one pinned core."""
