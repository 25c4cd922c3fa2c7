"""What the embedded checkpoint does on the simulated tabletop, as a document with pictures."""
