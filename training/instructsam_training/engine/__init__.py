"""The training loop: steps, checkpoints, processes and optimizers."""
