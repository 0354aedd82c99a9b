"""Plots that several kinds share. Imports matplotlib, never pyplot or torch."""
