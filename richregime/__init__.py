"""What a user types: the service on one machine, the command line, and the Python client."""

from client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
