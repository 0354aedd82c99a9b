"""Stored files: the bytes and the rows that refer to them."""
