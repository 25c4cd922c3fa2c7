"""The three ways in which input can be wrong.

Each message says what was found, what was expected and what to do about it. They are caught once: by the ROS node or by
the `main()` of a command.
"""


class CheckpointError(Exception):
    """A checkpoint is missing, unreadable or does not fit the network."""


class ConfigError(ValueError):
    """A setting is unknown or out of range."""


class FrameError(ValueError):
    """A picture cannot be used: its size, encoding or contents are not what they claim to be."""
