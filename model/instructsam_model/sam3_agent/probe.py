"""What a server can do: asked once, before the first run."""

PROBE_TEXT = 'Which color is this image? Answer in one word.'
"""Text of the request with which a server is probed."""
