"""Data sets: their specs (spec), reading them (load), keeping them on the device (resident)."""
