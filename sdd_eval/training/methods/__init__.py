"""Training methods, and the losses that they share."""
