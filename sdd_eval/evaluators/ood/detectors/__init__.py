"""Out-of-distribution detectors."""
