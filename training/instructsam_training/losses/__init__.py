"""The training losses and the matching of queries to instances."""
