"""Checkpoint folders: read, write, import, resume."""
