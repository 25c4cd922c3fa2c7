"""A simulated robot tabletop: scenes, pictures of them, and instructions with their truth. No torch, no ROS."""
