"""Runs as rows: claimed, moved from state to state, placed on workers, taken back when a lease expires."""
