"""How sure a number is: intervals, paired tests, seeds. NumPy and SciPy only."""
