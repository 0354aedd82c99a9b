"""What runs report: metrics, events, results."""
