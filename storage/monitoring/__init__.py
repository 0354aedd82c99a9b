"""What operators and Prometheus read: snapshots, counters, health checks."""
