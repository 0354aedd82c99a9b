"""Baselines for the engine and the service, written as a user would write them."""
