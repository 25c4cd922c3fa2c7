"""The published training format, and files of raw releases."""
