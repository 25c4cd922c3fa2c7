"""Reports of an evaluation: tables, plots, a page, and comparisons."""
