"""Numerical parity with the public implementation.

    python -m instructsam_training.parity FOLDER

FOLDER is a set of golden data: weights, images, and what the public implementation of InstructSAM (the layout of
tests/golden) or of SAM3-I computed from them. Which one is recognized by its files. Each part that the folder has is
computed again and compared.
"""
