"""Weight files, and the checkpoint bundled with this package."""
