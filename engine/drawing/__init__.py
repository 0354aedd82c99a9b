"""Drawings that several rooms share. Imports matplotlib, never pyplot or torch."""
