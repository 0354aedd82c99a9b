"""The web pages and the guide."""
