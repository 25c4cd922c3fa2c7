"""Training and evaluation of InstructSAM: data, losses, training loop, metrics, benchmarks."""
