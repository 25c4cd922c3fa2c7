"""Simulated cameras and their ground truth."""
