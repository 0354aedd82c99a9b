"""The technicians: take a filed form, unlock its room, archive what comes out."""
