"""What every process of the service shares: settings, logs, traces, locks, fault points. Nothing here outlives a process."""
