"""One question about a classifier a file."""
