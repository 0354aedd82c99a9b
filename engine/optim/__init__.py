"""Optimisers and learning-rate schedules: their specs (spec) and how they are built (build)."""
