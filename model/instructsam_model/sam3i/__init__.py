"""SAM3-I: SAM3 with adapters for instructions, its checkpoints, and the back end `sam3i`."""
