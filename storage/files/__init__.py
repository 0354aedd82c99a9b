"""Stored files: bytes, and the rows that refer to them."""
