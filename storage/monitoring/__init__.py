"""Data for operators and Prometheus: snapshots, counters, health checks."""
