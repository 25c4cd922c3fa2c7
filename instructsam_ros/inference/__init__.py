"""Requests, their scheduling, and the worker that processes them."""
