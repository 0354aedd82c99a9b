"""The kinds of experiments, one folder each. Kinds do not import one another."""
