"""A simulated robot tabletop: scenes, rendered images, and instructions with ground truth. No torch, no ROS."""
