"""Weight files, the Hugging Face hub, and the bundled checkpoint."""
