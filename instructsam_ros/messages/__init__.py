"""Conversion between ROS messages and NumPy arrays or the types of `instructsam_model`."""
