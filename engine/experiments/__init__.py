"""The kinds: one folder a kind of experiment. Kinds do not import one another."""
