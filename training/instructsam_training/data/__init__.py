"""Samples to batches: conversations, tokens, targets and sampling."""
