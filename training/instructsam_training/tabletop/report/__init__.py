"""Writes docs/tabletop.md: the results of the embedded checkpoint on the simulated tabletop, with example images."""
