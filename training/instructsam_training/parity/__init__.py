"""Does this implementation compute what the public one does?

    python -m instructsam_training.parity FOLDER

FOLDER is laid out like tests/golden: a checkpoint, pictures, and what the public implementation computed from them.
Each part that is there is computed anew and compared.
"""
