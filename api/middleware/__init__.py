"""Applies to every request: request ids, authentication, origins, rate limits."""
