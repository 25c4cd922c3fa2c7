"""Commands: instructsam-segment and instructsam-demo."""
