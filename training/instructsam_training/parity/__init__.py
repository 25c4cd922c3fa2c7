"""Numerical parity with the public implementation.

    python -m instructsam_training.parity FOLDER

FOLDER has the layout of tests/golden: a checkpoint, images, and what the public implementation computed from them.
Each part that the folder has is computed again and compared.
"""
