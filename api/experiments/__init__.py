"""What the API does with experiments: one function each for a route to call."""
