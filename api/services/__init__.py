"""Where the API decides something."""
