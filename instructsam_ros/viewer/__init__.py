"""The viewer: camera images and results in Rerun."""
