"""The benchmarks of the paper: their queries, prompts, metrics and published numbers."""
