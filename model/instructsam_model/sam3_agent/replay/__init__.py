"""Transcripts of runs, and their replay without the models that they were recorded with."""
