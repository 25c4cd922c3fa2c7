"""How fast the model answers, what each part of it takes, and how a straightforward pipeline compares."""
