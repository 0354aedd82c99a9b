"""The commands that speak to a service, a file a concern; `client.cli` gathers them."""
