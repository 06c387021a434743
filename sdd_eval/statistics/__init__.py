"""Uncertainty of numbers: bootstrap, intervals, paired tests, seeds. NumPy and SciPy only."""
