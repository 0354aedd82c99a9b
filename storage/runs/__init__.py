"""Runs: claim, state transitions, placement on workers, lease expiry, reconciliation."""
