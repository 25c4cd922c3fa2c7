"""InstructSAM in the benchmark: what only this back end measures, compares or models."""
