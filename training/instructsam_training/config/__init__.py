"""Run configurations: what a YAML file may say. No torch."""
