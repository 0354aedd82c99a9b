"""Types of requests and responses, and the states of a run."""
