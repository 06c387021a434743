"""Scores of how well an image fits what a network was trained on, one a file."""
