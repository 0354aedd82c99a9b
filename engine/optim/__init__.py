"""Optimisers and learning-rate schedules: what can be asked for (spec) and how it is built (build)."""
