"""Experiments as rows: created, listed, changed, extended, finalized."""
