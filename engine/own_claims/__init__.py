"""Claims that a submission makes of its own experiment: their quantities and their verdicts."""
