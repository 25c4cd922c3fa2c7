"""Scenes: objects, shapes, placement, lights and cameras, sampled from a seed."""
