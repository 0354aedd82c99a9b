"""What every request passes: request ids, authentication, origins, rate limits."""
