"""What every process needs: settings, logs, traces, locks, fault points. Nothing is persistent."""
