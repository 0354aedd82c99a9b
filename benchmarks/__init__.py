"""Benchmarks: speed as a ratio to a stated baseline, both timed in one interleaved run.

Run one with `python -m benchmarks NAME`.
"""
