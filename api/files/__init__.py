"""Checks and registers uploads: data sets and weights."""
