"""The tables of the paper, each as one command: `python -m instructsam_training.tables NUMBER`."""
