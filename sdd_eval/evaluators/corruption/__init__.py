"""Corruption robustness."""
