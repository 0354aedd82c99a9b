"""Commands of an operator: the one-machine supervisor, keys, doctor, demo and gallery."""
