"""The commands that speak to a service, a file a concern; `richregime.cli` gathers them."""
