"""InstructSAM: which parameters are trained, and from which weights a run starts."""
