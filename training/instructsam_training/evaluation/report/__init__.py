"""The report of an evaluation: numbers, tables, plots and examples."""
