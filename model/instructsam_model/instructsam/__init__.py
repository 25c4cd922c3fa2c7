"""InstructSAM: Qwen3-VL, K learnable queries a phrase, and SAM3."""
