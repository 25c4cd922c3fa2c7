"""SAM3: the adapter to its detector, its image encoder, both layouts of checkpoints, and the back end `sam3`."""
