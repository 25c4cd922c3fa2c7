"""Requests, their scheduling, and the thread that answers them."""
