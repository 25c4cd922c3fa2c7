"""The evaluation of SAM3-I: its prediction records, and its protocols `1to1` and `multi_inst`."""
