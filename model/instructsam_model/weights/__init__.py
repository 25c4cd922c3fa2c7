"""Weight files, the Hugging Face hub, and the embedded checkpoint."""
