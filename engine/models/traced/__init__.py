"""Layers of any torch module: traced (graph), cut (pieces), grouped (plan), built, described."""
