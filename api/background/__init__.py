"""Background work of the API: wake-ups, webhooks, metrics for Prometheus."""
