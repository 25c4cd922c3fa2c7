"""Scenes: objects, their shapes and places, light and camera."""
