"""Instances in 3D: depth images, their synchronization with color images, and oriented boxes."""
