"""Uploads checked and registered: data sets and weights."""
