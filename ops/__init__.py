"""What an operator types: the service on one machine, its parts, its keys, its check-up and its gallery."""
