"""The evaluator of corruption robustness."""
