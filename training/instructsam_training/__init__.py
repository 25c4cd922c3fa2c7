"""How InstructSAM's weights are made and judged: data, losses, training loop, metrics, evaluation."""
