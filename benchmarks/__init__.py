"""Each goal of speed as a ratio to its stated baseline, measured in one interleaved run: `python -m benchmarks NAME`."""
