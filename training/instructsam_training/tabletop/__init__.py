"""A simulated robot tabletop: scenes with ground truth, pictures of them, and instructions about them. No torch, no ROS."""
