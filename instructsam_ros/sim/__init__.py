"""Simulated cameras, their ground truth, and scores of results against it."""
