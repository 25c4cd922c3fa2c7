"""Simulated tabletops as data sets."""
