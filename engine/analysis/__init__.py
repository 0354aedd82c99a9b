"""Quantities computed from trained nets and their gradients: movement, re-initialisation, activity, spectrum, statistics."""
