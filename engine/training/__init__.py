"""Training a net: which layers in which epoch, the loop, evaluation, resume state, the frozen prefix."""
