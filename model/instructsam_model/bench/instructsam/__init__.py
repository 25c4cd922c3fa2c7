"""The parts of the benchmark that work with InstructSAM only."""
