"""What the API does beside requests: wake-ups, webhooks, Prometheus."""
