"""The losses of SAM3-I: those of SAM3's detector with one-to-many queries, and those that align the levels."""
