"""Shapes on the wire, shared by the API and the client, and the one table of moves of a run."""
