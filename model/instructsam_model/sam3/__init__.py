"""SAM3: its detector, its image encoder, and checkpoints in the layout of Meta."""
