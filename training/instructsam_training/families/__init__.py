"""What training knows about each family of models."""
