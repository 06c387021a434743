"""The training loop, batches on the device, and checkpoints."""
