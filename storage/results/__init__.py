"""What runs produce: metrics, events, results."""
