"""Nets that only torch can describe: what workers found of them, and of plug-ins."""
