"""Evaluators of out-of-distribution detection."""
