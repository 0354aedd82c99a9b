"""The technicians: take a filed spec, unlock its kind, archive what comes out."""
