"""Configuration of training runs: options, and their YAML reader. Imports no torch."""
