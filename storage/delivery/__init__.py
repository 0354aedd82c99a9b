"""Messages that leave: webhooks, and wake-ups for the workers."""
