"""Reports of experiments: one self-contained file that a reader can judge and repeat."""
