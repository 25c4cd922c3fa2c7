"""The training losses and the matching of slots to instances."""
