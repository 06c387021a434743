"""Metrics: pure functions from NumPy arrays or tensors to numbers."""
