"""Writes docs/tabletop.md: the results of the bundled checkpoint on the simulated tabletop, with example images."""
