"""Train a net: trained layers by epoch, the loop, evaluation, resume state, the frozen prefix."""
