"""Checks of the training data: what cannot be read, what is trained, and an image of what the network sees."""
