"""Outgoing messages: webhook deliveries, and wake-ups for the workers."""
