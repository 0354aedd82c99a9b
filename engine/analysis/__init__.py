"""Quantities of trained nets and their gradients, and statistics over seeds."""
