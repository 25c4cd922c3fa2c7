"""Parity with the public implementation of SAM3-I, part by part."""
