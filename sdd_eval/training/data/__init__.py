"""Training images: splits, augmentation, batches in memory and streamed from disk."""
