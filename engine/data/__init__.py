"""Data sets: what can be asked for (spec), where they come from (load), how they reach the device (resident)."""
