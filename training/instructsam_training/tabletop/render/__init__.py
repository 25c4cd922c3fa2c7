"""Rendering of scenes with MuJoCo, off-screen."""
