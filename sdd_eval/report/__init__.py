"""Runs become CSV, figures and one HTML page; torch stays unloaded."""
