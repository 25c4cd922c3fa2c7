"""SAM3-I: training data and its transforms."""
